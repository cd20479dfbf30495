/** How the next token is chosen, in the library's terms. */
import { randomInt } from 'node:crypto';
import type { LlamaGrammarEvaluationState, SequenceEvaluateOptions, Token } from 'node-llama-cpp';
import type { Sampling } from '../../../proto/gen/infermesh/v1/types.ts';

/** Tokens that the repetition penalties look back on, as in llama.cpp. */
const PENALTY_WINDOW = 64;
const DEFAULT_REPEAT_PENALTY = 1;

/** @param answer the tokens of the answer, to which the caller adds; the penalties look back on them */
export function evaluateOptions(
  sampling: Sampling,
  answer: readonly Token[],
  grammar: LlamaGrammarEvaluationState | undefined,
): SequenceEvaluateOptions {
  const { temperature = 0, topP, topK, minP, repeatPenalty, frequencyPenalty, presencePenalty } = sampling;
  const penalized = repeatPenalty !== undefined || frequencyPenalty !== undefined || presencePenalty !== undefined;
  return {
    temperature,
    seed: sampling.seed ?? randomInt(2 ** 32),
    ...(topP === undefined ? {} : { topP }),
    ...(topK === undefined ? {} : { topK }),
    ...(minP === undefined ? {} : { minP }),
    ...(grammar ? { grammarEvaluationState: grammar } : {}),
    ...(penalized
      ? {
          repeatPenalty: {
            punishTokens: () => answer.slice(-PENALTY_WINDOW),
            maxPunishTokens: PENALTY_WINDOW,
            penalty: repeatPenalty ?? DEFAULT_REPEAT_PENALTY,
            frequencyPenalty: frequencyPenalty ?? 0,
            presencePenalty: presencePenalty ?? 0,
          },
        }
      : {}),
  };
}
