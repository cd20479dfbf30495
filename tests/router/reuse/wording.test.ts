import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Delta } from '../../../proto/gen/infermesh/v1/inference.ts';
import { CacheSource, ChatResponse, Finished, Started } from '../../../proto/gen/infermesh/v1/inference.ts';
import { framed, messagesOf } from '../../../proto/transport/framing.ts';
import { condensed, finishedAgain, startedAgain } from '../../../router/reuse/wording.ts';

const encoded = (value: Delta) => framed(ChatResponse.encode({ event: { $case: 'delta', value } }).finish());
const decoded = (data: Buffer) => messagesOf(data).map((message) => ChatResponse.decode(message).event);

const pieces = fc.array(
  fc.record({
    text: fc.string({ unit: 'grapheme', maxLength: 300 }),
    ids: fc.array(fc.nat(100), { minLength: 1, maxLength: 4 }),
  }),
  { maxLength: 40 },
);

function deltasOf(all: readonly { text: string; ids: number[] }[], withIds = true): Delta[] {
  let seq = 0;
  return all.map(({ text, ids }) => {
    const delta = { seq, tokens: ids.length, text, tokenIds: withIds ? ids : [] };
    seq += ids.length;
    return delta;
  });
}

describe('an answer that is given all at once', () => {
  it('is the same answer in fewer deltas, whose positions and token ids go on without a gap', () => {
    fc.assert(
      fc.property(pieces, fc.boolean(), (all, withIds) => {
        const deltas = deltasOf(all, withIds);
        const events = decoded(condensed(Buffer.concat(deltas.map(encoded))));
        const again = events.flatMap((event) => (event?.$case === 'delta' ? [event.value] : []));
        expect(again.map(({ text }) => text).join('')).toBe(deltas.map(({ text }) => text).join(''));
        expect(again.flatMap(({ tokenIds }) => tokenIds)).toEqual(deltas.flatMap(({ tokenIds }) => tokenIds));
        let next = 0;
        for (const { seq, tokens } of again) {
          expect(seq).toBe(next);
          next += tokens;
        }
        expect(next).toBe(deltas.reduce((sum, { tokens }) => sum + tokens, 0));
        expect(again.length).toBeLessThanOrEqual(deltas.length);
      }),
    );
  });
});

describe('the events around it', () => {
  it('are of the request that gets it', () => {
    const started = Started.fromPartial({ requestId: 'first', traceId: 't1', node: 'n', model: 'm', tokenizerDigest: 'd' });
    const [event] = decoded(startedAgain(started, { requestId: 'second', traceId: 't2' }));
    expect(event).toEqual({ $case: 'started', value: { ...started, requestId: 'second', traceId: 't2' } });
  });

  it('tell that it cost nothing, and what it had cost', () => {
    const first = Finished.fromPartial({ reason: 1, usage: { outputTokens: 9 }, cost: { usd: 2, referenceUsd: 3 } });
    const cached = { source: CacheSource.CACHE_SOURCE_MEMORY, ageMs: 5, requestId: 'first', similarity: 1 };
    const [event] = decoded(finishedAgain(first, cached, { firstTokenMs: 1, totalMs: 2 }));
    expect(event).toMatchObject({
      value: {
        reason: 1,
        usage: { outputTokens: 9 },
        cost: { usd: 0, referenceUsd: 3, savedUsd: 2 },
        timings: { firstTokenMs: 1, totalMs: 2, decodeMs: 0 },
        migrations: 0,
        cached,
      },
    });
  });
});
