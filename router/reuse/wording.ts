/** The router's own events around an answer that is given again. Pure. */
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { Cached, Finished, Started } from '../../proto/gen/infermesh/v1/inference.ts';
import { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { messagesOf } from '../../proto/transport/framing.ts';
import { event } from '../answer.ts';

/** What an answer needs to be told in the words of another request. */
export interface Retelling {
  readonly requestId: string;
  readonly traceId: string;
}

export function startedAgain(started: Started, { requestId, traceId }: Retelling): Buffer {
  return event({ $case: 'started', value: { ...started, requestId, traceId } });
}

/** @param timings of the request that gets it */
export function finishedAgain(
  { reason, usage, cost }: Pick<Finished, 'reason' | 'usage' | 'cost'>,
  cached: Cached,
  timings: { readonly firstTokenMs: number; readonly totalMs: number },
): Buffer {
  return event({
    $case: 'finished',
    value: {
      reason,
      usage,
      cost: { usd: 0, referenceUsd: cost?.referenceUsd ?? 0, savedUsd: cost?.usd ?? 0 },
      timings: { queueMs: 0, prefillMs: 0, decodeMs: 0, ...timings },
      migrations: 0,
      cached,
    },
  });
}

export function startedOf({ requestId, node, model, tokenizerDigest, decision }: CachedAnswer): Started {
  return { requestId, node, model, traceId: '', tokenizerDigest, decision };
}

/** Of all deltas. */
export function textOf(deltas: Buffer): string {
  return messagesOf(deltas)
    .map((message) => ChatResponse.decode(message).event)
    .map((one) => (one?.$case === 'delta' ? one.value.text : ''))
    .join('');
}

/** So large a piece is one message of the answer that is given all at once. */
const MOST_PIECE_BYTES = 2048;

/** The same answer in as few deltas as is good for a reader that gets all of it at once. */
export function condensed(deltas: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let text = '';
  let tokenIds: number[] = [];
  let seq = 0;
  let tokens = 0;
  const flush = () => {
    // Ids of some tokens only are of no use.
    const ids = tokenIds.length === tokens ? tokenIds : [];
    if (tokens > 0 || text !== '') pieces.push(event({ $case: 'delta', value: { seq, tokens, text, tokenIds: ids } }));
    seq += tokens;
    tokens = 0;
    text = '';
    tokenIds = [];
  };
  for (const message of messagesOf(deltas)) {
    const { event: one } = ChatResponse.decode(message);
    if (one?.$case !== 'delta') continue;
    text += one.value.text;
    tokens += one.value.tokens;
    for (const id of one.value.tokenIds) tokenIds.push(id);
    if (text.length >= MOST_PIECE_BYTES) flush();
  }
  flush();
  return Buffer.concat(pieces);
}
