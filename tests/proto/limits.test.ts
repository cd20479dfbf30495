/** What a stranger may cost the server: bounded time for a request, bounded memory for a stream that nobody reads. */
import { once } from 'node:events';
import { constants } from 'node:http2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Code, Fault } from '../../proto/contract/faults.ts';
import { ChatRequest, InferenceServiceService } from '../../proto/gen/infermesh/v1/inference.ts';
import { framed } from '../../proto/transport/framing.ts';
import { serverStream } from '../../proto/transport/handlers.ts';
import { GrpcServer } from '../../proto/transport/server.ts';
import { CHAT, chatBytes, RawConnection } from '../mesh/wire.ts';

let server: GrpcServer;
let address: string;

beforeAll(async () => {
  server = new GrpcServer({ address: '127.0.0.1:0' });
  const { chat } = InferenceServiceService;
  server.addService(
    { chat },
    {
      chat: serverStream(ChatRequest, 'ChatRequest', (_request, stream) => {
        stream.write(framed(Buffer.alloc(1000)));
        stream.fail(new Fault('SLOW_CONSUMER', 'the client did not read'));
      }),
    },
  );
  address = `127.0.0.1:${await server.listen()}`;
});
afterAll(() => server.close(100));

test('a request of very many empty messages is refused before they are decoded', async () => {
  await using connection = new RawConnection(address);
  const message = Buffer.alloc(6_000_000);
  for (let at = 0; at < message.length; at += 2) message[at] = 0x0a; // field 1, length 0
  const { code, fault } = await connection.call(CHAT, message);
  expect(code).toBe(Code.INVALID_ARGUMENT);
  expect(fault.violations[0]).toMatchObject({ field: '(message)', description: expect.stringContaining('20000') });
});

test('a request larger than any within bounds is refused', async () => {
  await using connection = new RawConnection(address);
  expect((await connection.call(CHAT, Buffer.alloc(7_000_000))).code).toBe(Code.RESOURCE_EXHAUSTED);
});

test('a stream whose client has been given up is reset, so that nothing is held for it', async () => {
  await using connection = new RawConnection(address, { initialWindowSize: 0 });
  const stream = connection.open(CHAT, chatBytes('hello'));
  stream.on('error', () => {});
  await once(stream, 'close');
  expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
});
