/** What the chunks of an answer mean. Pure; a chunk comes from outside, so nothing of its form is taken for granted. */
import type { FinishReason, Usage } from '../../../proto/gen/infermesh/v1/types.ts';
import { FinishReason as Reasons } from '../../../proto/gen/infermesh/v1/types.ts';

export type ChatEvent =
  /** A token, or the few that were needed for a whole character. */
  | { readonly type: 'text'; readonly text: string }
  /** Nothing that is part of an answer: what a model thinks, an empty chunk. */
  | { readonly type: 'nothing' }
  | { readonly type: 'done'; readonly reason: FinishReason; readonly told: Told };

/** Counts and milliseconds as Ollama tells them; undefined where it does not. */
export interface Told {
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly prefillMs: number | undefined;
  readonly decodeMs: number | undefined;
}

/** @param maxTokens what was asked for, where a chunk does not say why it is the last */
export function chatEvent(chunk: object, maxTokens: number): ChatEvent {
  const { message, done, done_reason } = chunk as Readonly<Record<string, unknown>>;
  if (done === true) {
    const told = toldBy(chunk);
    return { type: 'done', reason: finishReason(done_reason, told, maxTokens), told };
  }
  const content = (message as { readonly content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' && content !== '' ? { type: 'text', text: content } : { type: 'nothing' };
}

/** What the last chunk may bring beside its counts: nothing as a rule. */
export function lastText(chunk: object): string {
  const { content } = ((chunk as Readonly<Record<string, unknown>>).message ?? {}) as { readonly content?: unknown };
  return typeof content === 'string' ? content : '';
}

function finishReason(reason: unknown, { outputTokens = 0 }: Told, maxTokens: number): FinishReason {
  if (reason === 'length') return Reasons.FINISH_REASON_LENGTH;
  const said = typeof reason === 'string' && reason !== '';
  return !said && outputTokens >= maxTokens ? Reasons.FINISH_REASON_LENGTH : Reasons.FINISH_REASON_STOP;
}

export function toldBy(chunk: object): Told {
  const { prompt_eval_count, eval_count, prompt_eval_duration, eval_duration } = chunk as Readonly<Record<string, unknown>>;
  return {
    inputTokens: count(prompt_eval_count),
    outputTokens: count(eval_count),
    prefillMs: milliseconds(prompt_eval_duration),
    decodeMs: milliseconds(eval_duration),
  };
}

/** @param counted tokens of the answer as they came; Ollama's own count, which knows those without a text, goes before */
export function usageOf({ inputTokens = 0, outputTokens }: Told, counted: number): Usage {
  // Ollama does not tell how much of the prompt its cache held.
  return { inputTokens, outputTokens: outputTokens ?? counted, cachedInputTokens: 0 };
}

/** Tokens per second; undefined where Ollama did not tell both numbers. */
export function rateOf(tokens: number | undefined, ms: number | undefined): number | undefined {
  return tokens && ms ? (tokens * 1000) / ms : undefined;
}

const MOST = 2 ** 31 - 1;
const count = (value: unknown) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST ? value : undefined;

/** Ollama counts nanoseconds. */
const milliseconds = (value: unknown) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value / 1e6 : undefined;
