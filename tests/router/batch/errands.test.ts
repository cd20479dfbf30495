/** The items of a batch on the way of the call alone. */
import { describe, expect, it } from 'vitest';
import { Fault } from '../../../proto/contract/faults.ts';
import { ChatResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import type { ClientStream } from '../../../proto/transport/event-stream.ts';
import { framed } from '../../../proto/transport/framing.ts';
import type { CallContext } from '../../../proto/transport/handlers.ts';
import type { ErrandsParts } from '../../../router/batch/errands.ts';
import { errands } from '../../../router/batch/errands.ts';

const CONTEXT: CallContext = { metadata: () => undefined, remainingMs: 1000, certificateNames: () => [] };
const CHAT = { type: 'chat', id: 'a', chat: {} } as never;
const EMBED = { type: 'embed' as const, id: 'a', embed: { texts: ['hello'], model: '', refresh: false } };

/** @param chat what the journey does with its stream */
function begin(chat: (stream: ClientStream) => Promise<void>, embedding: Partial<ErrandsParts['embedding']> = {}) {
  const defects: string[] = [];
  const parts = {
    journey: { chat: (_: unknown, stream: ClientStream) => chat(stream) },
    embedding,
    onDefect: (_: string, { message }: Fault) => defects.push(message),
  } as unknown as ErrandsParts;
  return { begin: errands(parts), defects };
}

describe('a chat', () => {
  it('has the whole answer as its outcome', async () => {
    const finished = framed(ChatResponse.encode(ChatResponse.fromPartial({ event: { $case: 'finished', value: {} } })).finish());
    const { begin: begins } = begin(async (stream) => {
      stream.write(finished);
      stream.end();
    });
    expect(await begins(CHAT, CONTEXT).outcome).toMatchObject({ $case: 'answer', value: { text: '' } });
  });

  it('that is cancelled ends as if its client had left', async () => {
    const { begin: begins } = begin(async (stream) => {
      stream.onGone = () => stream.fail(new Fault('CANCELLED', 'left'));
    });
    const errand = begins(CHAT, CONTEXT);
    errand.cancel();
    await expect(errand.outcome).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('that meets a defect fails alone, and the defect is told without what was asked', async () => {
    const { begin: begins, defects } = begin(() => Promise.reject(new TypeError('the prompt was: secret')));
    await expect(begins(CHAT, CONTEXT).outcome).rejects.toMatchObject({ reason: 'INTERNAL', message: 'unexpected TypeError' });
    expect(defects).toEqual(['unexpected TypeError']);
  });
});

describe('an embed', () => {
  const watch = { tell: () => {}, traceparent: () => '' };
  const tally = { request: () => ({ [Symbol.dispose]: () => {} }), ended: { finished: 0, failed: 0, cancelled: 0 } };
  const embedding = {
    observer: { watch: () => watch },
    tally,
    callers: { tenantOf: () => undefined, knownTenant: () => undefined },
    quotas: { enter: () => ({ settle: () => {}, [Symbol.dispose]: () => {} }) },
  } as never as ErrandsParts['embedding'];

  it('that is cancelled tells whoever makes its vectors', async () => {
    const asked = Promise.withResolvers<AbortSignal | undefined>();
    const until = ({ signal }: { signal?: AbortSignal }) => {
      asked.resolve(signal);
      return new Promise<never>((_, reject) => {
        signal?.addEventListener('abort', () => reject(new Fault('CANCELLED', 'left')));
      });
    };
    const vectors = { model: undefined, ready: until, of: (_: unknown, options: { signal?: AbortSignal }) => until(options) };
    const { begin: begins } = begin(async () => {}, { ...embedding, vectors: vectors as never });
    const errand = begins(EMBED, CONTEXT);
    expect((await asked.promise)?.aborted).toBe(false);
    errand.cancel();
    await expect(errand.outcome).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('that is out of its bounds fails with field, bound and what came', async () => {
    const { begin: begins } = begin(async () => {}, embedding);
    await expect(begins({ ...EMBED, embed: { ...EMBED.embed, texts: [] } }, CONTEXT).outcome).rejects.toMatchObject({
      violations: [{ field: 'texts', description: 'must be 1 to 1,024, received 0' }],
    });
  });
});
