import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChatEvent } from '../../client/index.ts';
import { Progress } from '../../client/progress.ts';
import { MAX_DELIVERED_BYTES, MOST_DELIVERED_IDS } from '../../proto/contract/bounds.ts';
import type { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';

type Came = NonNullable<ChatResponse['event']>;

const started = (requestId = 'r'): Came => ({
  $case: 'started',
  value: { requestId, node: `node of ${requestId}`, model: 'm', traceId: '', tokenizerDigest: 'sha256:0' },
});
const delta = (seq: number, text: string, tokenIds: number[] = [], tokens = 1): Came => ({
  $case: 'delta',
  value: { seq, tokens, text, tokenIds },
});
const finished: Came = { $case: 'finished', value: { reason: 1, migrations: 2 } };

describe('an answer of several calls', () => {
  /** The pieces of an answer: how many tokens each has. */
  const pieces = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 });
  /** For each call: how many pieces it gives, and how many of those that came before it gives once more. */
  const calls = fc.array(fc.record({ gives: fc.nat(6), again: fc.nat(4) }), { maxLength: 6 });

  it('is one stream to its reader, however the calls break and repeat', () => {
    fc.assert(
      fc.property(pieces, calls, (sizes, breaks) => {
        let position = 0;
        const all = sizes.map((tokens, n) => {
          const ids = Array.from({ length: tokens }, (_, i) => position + i);
          const piece = delta(position, `<${n}>`, ids, tokens);
          position += tokens;
          return piece;
        });
        const progress = new Progress(true);
        const seen: ChatEvent[] = [];
        const take = (event: Came) => seen.push(...[progress.take(event)].filter((news) => news !== undefined));
        let at = 0;
        for (const { gives, again } of [...breaks, { gives: all.length, again: 0 }]) {
          take(started(`r${at}`));
          for (const event of all.slice(Math.max(0, at - again), at + gives)) take(event);
          at = Math.min(all.length, at + gives);
          const delivered = progress.delivered();
          expect(delivered?.text).toBe(
            sizes
              .slice(0, at)
              .map((_, n) => `<${n}>`)
              .join(''),
          );
          expect(delivered?.tokenIds).toEqual(Array.from({ length: progress.tokens }, (_, n) => n));
        }
        take(finished);
        expect(seen.map(({ type }) => type)).toEqual(['started', ...all.map(() => 'delta'), 'finished']);
        expect(seen.flatMap((event) => (event.type === 'delta' ? [event.text] : []))).toEqual(all.map((_, n) => `<${n}>`));
        expect(seen.at(-1)).toMatchObject({ migrations: 2 + breaks.length });
        expect(progress).toMatchObject({ tokens: position, finished: true });
      }),
    );
  });

  it('is known to its reader by its first call, and to the router by its last', () => {
    const progress = new Progress(true);
    progress.take(started('first'));
    progress.take(started('second'));
    expect(progress.started?.requestId).toBe('first');
    expect(progress.answering).toMatchObject({ requestId: 'second', node: 'node of second' });
  });

  it('has no gap, and no piece of which only a part is new', () => {
    const progress = new Progress(true);
    progress.take(started());
    progress.take(delta(0, 'ab', [], 2));
    expect(() => progress.take(delta(3, 'd'))).toThrow(expect.objectContaining({ reason: 'INTERNAL' }));
    expect(() => progress.take(delta(1, 'bc', [], 2))).toThrow('the answer goes on at token 1, due was 2');
  });
});

describe('what was delivered', () => {
  it('is nothing before the answer began, and the model alone before its first token', () => {
    const progress = new Progress(true);
    expect(progress.delivered()).toBeUndefined();
    progress.take(started());
    expect(progress.delivered()).toEqual({ model: 'm', tokenizerDigest: 'sha256:0', tokens: 0, text: '', tokenIds: [] });
  });

  it('has ids for all of its tokens or for none', () => {
    const progress = new Progress(true);
    progress.take(started());
    progress.take(delta(0, 'a', [7]));
    expect(progress.delivered()?.tokenIds).toEqual([7]);
    progress.take(delta(1, 'b'));
    expect(progress.delivered()).toMatchObject({ tokens: 2, text: 'ab', tokenIds: [] });
  });

  it('is told by its text alone where the ids are too many for a request', () => {
    const progress = new Progress(true);
    progress.take(started());
    for (let seq = 0; seq < MOST_DELIVERED_IDS; seq++) progress.take(delta(seq, 'x', [seq]));
    expect(progress.delivered()?.tokenIds).toHaveLength(MOST_DELIVERED_IDS);
    progress.take(delta(MOST_DELIVERED_IDS, 'x', [1]));
    expect(progress.delivered()).toMatchObject({ tokens: MOST_DELIVERED_IDS + 1, tokenIds: [] });
  });

  it('is not kept past 4 MiB, or where nobody wants it', () => {
    const progress = new Progress(true);
    progress.take(started());
    progress.take(delta(0, 'é'.repeat(MAX_DELIVERED_BYTES / 2)));
    expect(progress.delivered()?.text).toHaveLength(MAX_DELIVERED_BYTES / 2);
    expect(progress.take(delta(1, 'x'))).toMatchObject({ text: 'x' });
    expect(progress.delivered()).toBeUndefined();
    const unkept = new Progress(false);
    unkept.take(started());
    unkept.take(delta(0, 'x', [1]));
    expect(unkept.delivered()).toMatchObject({ tokens: 1, text: '' });
  });
});
