/** A handler that fails in every way there is, behind a real server. */
import type { ServiceDefinition, ServiceError } from '@grpc/grpc-js';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Code, Fault } from '../../proto/contract/faults.ts';
import { InferenceServiceService } from '../../proto/gen/infermesh/v1/inference.ts';
import type { Handler } from '../../proto/transport/server.ts';
import { GrpcServer } from '../../proto/transport/server.ts';
import { faultOfStatus } from '../../proto/transport/service-error.ts';

type Way = () => Promise<Buffer> | Buffer;

const CANARY = 'what-the-user-wrote';
const WAYS: Record<string, Way> = {
  'throws an error': () => {
    throw new Error(CANARY);
  },
  'throws later': async () => {
    await Promise.resolve();
    throw new TypeError(CANARY);
  },
  'throws a text': () => {
    throw CANARY;
  },
  'throws nothing': () => Promise.reject(undefined),
};

let way: Way;
let server: GrpcServer;
let client: Client;
const defects: string[] = [];

beforeAll(async () => {
  server = new GrpcServer({ address: '127.0.0.1:0', onDefect: (method, { reason }) => defects.push(`${method} ${reason}`) });
  const handlers: Record<string, Handler> = {
    explain: { kind: 'unary', handle: () => way() },
    feedback: { kind: 'unary', handle: () => way() },
    embed: { kind: 'unary', handle: () => way() },
    batch: { kind: 'bidi', handle: (call) => call.end() },
    chat: { kind: 'stream', handle: async (_bytes, stream) => stream.end({ ok: String(await way()) }) },
    resume: { kind: 'stream', handle: async (_bytes, stream) => stream.end({ ok: String(await way()) }) },
  };
  server.addService(InferenceServiceService as unknown as ServiceDefinition, handlers);
  client = new Client(`127.0.0.1:${await server.listen()}`, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await server.close(100);
});

const same = (bytes: Buffer) => bytes;

function unary(): Promise<Buffer> {
  const path = '/infermesh.v1.InferenceService/Explain';
  return new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), (error: ServiceError | null, response) =>
      error ? reject(faultOfStatus(error)) : resolve(response as Buffer),
    ),
  );
}

function streamed(): Promise<Fault> {
  const call = client.makeServerStreamRequest('/infermesh.v1.InferenceService/Chat', same, same, Buffer.alloc(0));
  call.on('error', () => {});
  call.resume();
  return new Promise((resolve) => call.once('status', (status) => resolve(faultOfStatus(status))));
}

describe('a handler that fails', () => {
  it.each(Object.keys(WAYS))('by a defect, as it %s, is INTERNAL to the caller and told to the log', async (name) => {
    way = WAYS[name]!;
    defects.length = 0;
    for (const fault of [await unary().catch((thrown) => thrown as Fault), await streamed()]) {
      expect(fault).toMatchObject({ code: Code.INTERNAL, reason: 'INTERNAL' });
      expect((fault as Fault).message).not.toContain(CANARY);
    }
    expect(defects).toHaveLength(2);
  });

  it('by a fault, with the worst of texts, is that fault, and no defect', async () => {
    defects.length = 0;
    way = () => {
      throw new Fault('QUEUE_FULL', `\ud83d${'x'.repeat(100_000)}`, {
        retryAfterMs: 1500,
        facts: { '\ud800': '\udfff'.repeat(9999) },
      });
    };
    for (const fault of [await unary().catch((thrown) => thrown as Fault), await streamed()]) {
      expect(fault).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'QUEUE_FULL', retryAfterMs: 1500 });
    }
    expect(defects).toEqual([]);
  });

  it('leaves the server and its other calls alone', async () => {
    way = () => Buffer.from('fine');
    expect(String(await unary())).toBe('fine');
  });
});

describe('a server', () => {
  it('must have a handler for every method', () => {
    const other = new GrpcServer({ address: '127.0.0.1:0' });
    expect(() => other.addService(InferenceServiceService as unknown as ServiceDefinition, {})).toThrow(
      'no handler for /infermesh',
    );
  });

  it('says when its port is in use', async () => {
    const first = new GrpcServer({ address: '127.0.0.1:0' });
    const port = await first.listen();
    const second = new GrpcServer({ address: `127.0.0.1:${port}` });
    await expect(second.listen()).rejects.toMatchObject({
      reason: 'UNREACHABLE',
      message: expect.stringContaining('port is in use'),
    });
    await first.close(100);
  });
});
