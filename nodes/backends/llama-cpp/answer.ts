/** One answer in one slot, token by token. */
import type { LlamaContextSequence, LlamaGrammarEvaluationState, Token } from 'node-llama-cpp';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Job, Outcome } from '../backend.ts';
import type { JobRun } from '../job-run.ts';
import { finish } from '../job-run.ts';
import { TextAssembler } from '../text-assembler.ts';
import type { Beginning } from './beginning.ts';
import { detokenizerOf } from './beginning.ts';
import { GRAMMAR_END } from './grammar.ts';
import type { Loaded } from './model.ts';
import type { Prompt } from './prompt.ts';
import { evaluateOptions } from './sampling.ts';
import { nextTurn, prefill, reuse, touch } from './sequence.ts';

/** A job with all that the engine makes of it before it has a slot. */
export interface Work {
  readonly job: Job;
  readonly run: JobRun;
  readonly prompt: Prompt;
  readonly beginning: Beginning;
  /** Of the prompt and the beginning of the answer: what the engine reads. */
  readonly tokens: Token[];
}

/** @param grammar stands behind the beginning of the answer */
export async function answer(
  loaded: Loaded,
  sequence: LlamaContextSequence,
  { job, run, prompt, beginning, tokens }: Work,
  grammar: LlamaGrammarEvaluationState | undefined,
): Promise<Outcome> {
  using place = loaded.lockstep.place(sequence);
  if (job.canary) {
    await place.turn();
    await touch(sequence, tokens.at(-1) as Token);
    run.token();
    return finish(FinishReason.FINISH_REASON_LENGTH, { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0 });
  }
  const cached = await reuse(sequence, tokens);
  const last = await prefill(loaded, sequence, tokens.slice(cached), run, place);
  const stopped = await nextTurn(run, place);
  if (stopped) return stopped;

  const given = [...beginning.tokenIds];
  const stops = [...job.stop, ...prompt.stopTexts, ...(grammar ? [GRAMMAR_END] : [])];
  const text = new TextAssembler(detokenizerOf(loaded), stops, beginning);
  const inputTokens = prompt.tokens.length;
  const done = (reason: FinishReason): Outcome => {
    for (const piece of text.flush()) run.deliver(piece);
    return finish(reason, { inputTokens, outputTokens: run.tokens, cachedInputTokens: Math.min(cached, inputTokens) });
  };
  for await (const token of sequence.evaluate(last, evaluateOptions(job.sampling, given, grammar))) {
    run.token();
    given.push(token);
    if (prompt.stopTokens.has(token)) return done(FinishReason.FINISH_REASON_STOP);
    const piece = text.push(token);
    if (piece) run.deliver(piece);
    if (text.matched !== undefined) {
      const asked = text.matched < job.stop.length;
      return done(asked ? FinishReason.FINISH_REASON_STOP_STRING : FinishReason.FINISH_REASON_STOP);
    }
    // One cell more and the library would drop the oldest tokens.
    const full = sequence.nextTokenIndex >= sequence.contextSize - 1;
    if (full || run.tokens >= job.maxTokens) return done(FinishReason.FINISH_REASON_LENGTH);
    const aborted = await nextTurn(run, place);
    if (aborted) return aborted;
  }
  return done(FinishReason.FINISH_REASON_STOP);
}
