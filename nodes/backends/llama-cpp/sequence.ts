/** What a slot's KV cache keeps, and how it reads the rest of a prompt. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { JobRun } from '../job-run.ts';
import type { Place } from './lockstep.ts';
import type { Loaded } from './model.ts';

/** Below this part of the prompt a common beginning is not worth giving up another conversation's cache. */
const WORTH_REUSING = 0.25;

/** The free sequence whose KV cache already holds the most of the prompt; where none holds enough, the one free longest. */
export function mostInCommon(free: ReadonlySet<LlamaContextSequence>, tokens: Token[]): LlamaContextSequence {
  let best: LlamaContextSequence | undefined;
  let most = tokens.length * WORTH_REUSING;
  for (const sequence of free) {
    best ??= sequence;
    const common = sequence.compareContextTokens(tokens).firstDifferentIndex;
    if (common > most) [best, most] = [sequence, common];
  }
  return best!;
}

/** Keeps what the sequence's KV cache has in common with the prompt. @returns how many tokens that are */
export async function reuse(sequence: LlamaContextSequence, tokens: Token[]): Promise<number> {
  const { firstDifferentIndex } = sequence.compareContextTokens(tokens);
  // The last token is always evaluated: its logits give the first token of the answer.
  const keep = Math.min(firstDifferentIndex, tokens.length - 1);
  if (keep < sequence.nextTokenIndex) {
    await sequence.eraseContextTokenRanges([{ start: keep, end: sequence.nextTokenIndex }]);
  }
  // Models that cannot forget a part of their state forget all of it.
  return Math.min(keep, sequence.nextTokenIndex);
}

/** Evaluates one token behind whatever the slot holds, and forgets it: what was cached for a conversation stays. */
export async function touch(sequence: LlamaContextSequence, token: Token): Promise<void> {
  const room = sequence.contextSize - 2;
  if (sequence.nextTokenIndex > room) {
    await sequence.eraseContextTokenRanges([{ start: room, end: sequence.nextTokenIndex }]);
  }
  const start = sequence.nextTokenIndex;
  for await (const _ of sequence.evaluate([token], { temperature: 0, yieldEogToken: true })) break;
  await sequence.eraseContextTokenRanges([{ start, end: sequence.nextTokenIndex }]);
}

/** Evaluates all but the last chunk. @returns the last chunk, whose evaluation gives the first token */
export async function prefill(
  { prefillChunk }: Loaded,
  sequence: LlamaContextSequence,
  tokens: Token[],
  run: JobRun,
  place: Place,
): Promise<Token[]> {
  let rest = tokens;
  while (rest.length > prefillChunk && !run.aborted) {
    await place.turn();
    await sequence.evaluateWithoutGeneratingNewTokens(rest.slice(0, prefillChunk));
    rest = rest.slice(prefillChunk);
  }
  if (run.paused) place.rest();
  await run.released();
  return rest;
}
