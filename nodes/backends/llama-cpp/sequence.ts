/** What a slot's KV cache keeps, and how it reads the rest of a prompt. */
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { Failure, JobRun } from '../job-run.ts';
import type { Place } from './lockstep.ts';
import type { Loaded } from './model.ts';

/** Slots that differ by less than this part of the prompt are as good as each other. */
const AS_GOOD = 0.1;
/** Of a prompt's end, which becomes other tokens when something follows. */
const SEAM_TOKENS = 2;

type Slot = Pick<LlamaContextSequence, 'compareContextTokens' | 'nextTokenIndex'>;

/**
 * The free slot in which the prompt costs least: the tokens that need not be read, less those of another conversation that
 * would be lost, which count the less the longer nobody asked for them. Of slots that are as good as each other one beside
 * those at work, since llama.cpp reads its weights once for sequences without a gap between them.
 * @param order of all slots
 * @param free the one that is free longest first
 * @param promptOf tokens of the last prompt in a slot: who has them all goes on with its conversation, and loses nothing
 */
export function bestSlot<S extends Slot>(
  order: readonly S[],
  free: ReadonlySet<S>,
  tokens: Token[],
  promptOf: (slot: S) => number,
): S {
  const slots = [...free].map((slot, age) => {
    const common = slot.compareContextTokens(tokens).firstDifferentIndex;
    const goesOn = common >= promptOf(slot) - SEAM_TOKENS;
    const wantedAgain = goesOn ? 0 : (age + 1) / free.size;
    return { slot, worth: common - (slot.nextTokenIndex - common) * wantedAgain };
  });
  const least = Math.max(...slots.map(({ worth }) => worth)) - tokens.length * AS_GOOD;
  const good = slots.filter(({ worth }) => worth >= least).map(({ slot }) => slot);
  const busy = (at: number) => Number(at >= 0 && at < order.length && !free.has(order[at]!));
  const neighbours = (slot: S) => {
    const at = order.indexOf(slot);
    return busy(at - 1) + busy(at + 1);
  };
  return good.reduce((best, one) => (neighbours(one) > neighbours(best) ? one : best));
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

/** Waits until the job may go on. @returns why it must stop instead */
export async function nextTurn(run: JobRun, place: Place): Promise<Failure | undefined> {
  if (run.paused) place.rest();
  await run.released();
  if (!run.aborted) await place.turn();
  return run.aborted;
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
  while (rest.length > prefillChunk && !(await nextTurn(run, place))) {
    await sequence.evaluateWithoutGeneratingNewTokens(rest.slice(0, prefillChunk));
    rest = rest.slice(prefillChunk);
  }
  return rest;
}
