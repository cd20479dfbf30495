/** What can be said of a job before the server has seen it. Pure. */
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Delivered, Job, Outcome } from '../backend.ts';
import { finish } from '../job-run.ts';

/** English prose has four bytes to a token, and other text fewer: an estimate for queues, and where no usage comes. */
const BYTES_PER_TOKEN = 4;

/** Of the prompt, as long as the server has not counted it. */
export function estimateTokens({ messages }: Pick<Job, 'messages'>): number {
  const bytes = messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  return Math.max(1, Math.ceil(bytes / BYTES_PER_TOKEN));
}

/** The end of an answer to which nothing can be added. */
export function completeAlready({ delivered, maxTokens }: Job, inputTokens: number): Outcome | undefined {
  if (!delivered || delivered.tokens < maxTokens) return undefined;
  const usage = { inputTokens, outputTokens: delivered.tokens, cachedInputTokens: 0 };
  return finish(FinishReason.FINISH_REASON_LENGTH, usage);
}

/** Prompt and delivered text fill the context. */
export function fullWith({ tokens }: Delivered, contextLength: number): Outcome {
  const usage = { inputTokens: Math.max(1, contextLength - tokens), outputTokens: tokens, cachedInputTokens: 0 };
  return finish(FinishReason.FINISH_REASON_LENGTH, usage);
}
