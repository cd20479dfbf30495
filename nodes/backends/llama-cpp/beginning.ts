/** The beginning of an answer that another engine gave, made ready to go on behind it. */
import type { Token } from 'node-llama-cpp';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Delivered, Job, Outcome } from '../backend.ts';
import { failure, finish } from '../job-run.ts';
import type { Detokenize } from '../text-assembler.ts';
import { behindText } from '../text-assembler.ts';
import type { Loaded } from './model.ts';
import type { Prompt } from './prompt.ts';

/** As text-assembler.ts has it, with the ids that the library knows. */
export interface Beginning {
  readonly tokens: number;
  readonly text: string;
  readonly tokenIds: Token[];
}

const NOTHING: Beginning = { tokens: 0, text: '', tokenIds: [] };

export const detokenizerOf =
  ({ model }: Loaded): Detokenize =>
  (tokens, before) =>
    model.detokenize(tokens as Token[], false, before as Token[]);

/**
 * Never renders the chat template: the beginning stands behind the rendered prompt as it is.
 * @returns the beginning with its tokens; or how the answer ends, where nothing can be added to it
 */
export function readBeginning(loaded: Loaded, job: Job, prompt: Prompt): Beginning | Outcome {
  const { delivered } = job;
  if (!delivered || (delivered.tokens === 0 && delivered.text === '')) return NOTHING;
  const usage = { inputTokens: prompt.tokens.length, outputTokens: delivered.tokens, cachedInputTokens: 0 };
  const room = loaded.context.contextSize - prompt.tokens.length;
  const atLeast = Math.max(delivered.tokens, delivered.text.length / loaded.longestToken);
  if (delivered.tokens >= job.maxTokens || atLeast >= room) return finish(FinishReason.FINISH_REASON_LENGTH, usage);

  const known = delivered.tokenIds.length > 0 && loaded.vocabulary > 0;
  const tokenIds = known ? (delivered.tokenIds as Token[]) : loaded.model.tokenize(delivered.text.toWellFormed());
  // Without ids there may be more of them than were delivered.
  if (tokenIds.length >= room) return finish(FinishReason.FINISH_REASON_LENGTH, usage);
  if (known) {
    const problem = problemOf(loaded, delivered);
    if (problem !== undefined) return failure('INVALID_REQUEST', `delivered.token_ids: ${problem}`);
    const rest = behindText(delivered, detokenizerOf(loaded));
    const stop = rest ? endedBy(rest, job.stop, prompt.stopTexts) : undefined;
    if (rest === undefined || (rest !== '' && stop === undefined)) {
      return failure('INVALID_REQUEST', 'delivered.token_ids: they are not those of delivered.text');
    }
    if (stop !== undefined) return finish(stop, usage);
  }
  return { tokens: delivered.tokens, text: delivered.text, tokenIds };
}

/** The model would take ids on trust, and an unknown one ends its process. */
function problemOf({ model, vocabulary }: Loaded, { tokenIds, tokens }: Delivered): string | undefined {
  if (tokenIds.length !== tokens)
    return `there must be none, or as many as delivered.tokens, ${tokens}; received ${tokenIds.length}`;
  for (const [position, id] of tokenIds.entries()) {
    if (!(Number.isInteger(id) && id >= 0 && id < vocabulary)) {
      return `each must be from 0 to ${vocabulary - 1}; received ${id} at ${position}`;
    }
    const token = id as Token;
    if (model.getTokenAttributes(token).control || model.isEogToken(token)) {
      return `special tokens come from the chat template only; received ${id} at ${position}`;
    }
  }
  return undefined;
}

/** Which stop string ended the text within its last token, of which `rest` was cut off. */
function endedBy(rest: string, asked: readonly string[], template: readonly string[]): FinishReason | undefined {
  const fits = (stop: string) => stop.startsWith(rest) || rest.startsWith(stop);
  if (asked.some(fits)) return FinishReason.FINISH_REASON_STOP_STRING;
  return template.some(fits) ? FinishReason.FINISH_REASON_STOP : undefined;
}
