/** How large a request is, in tokens, before any tokenizer has seen it. Pure. */
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';

/**
 * English text has about four bytes to a token in the vocabularies of today's models. So has, roughly, text in other
 * scripts: its tokens hold fewer characters, and its characters take more bytes.
 */
const BYTES_PER_TOKEN = 4;
/** No text of a natural language has more; what is too long even so cannot fit. */
const MOST_BYTES_PER_TOKEN = 8;
/** A chat template's own tokens around a message. */
const TOKENS_PER_MESSAGE = 4;

export interface Size {
  readonly promptBytes: number;
  readonly promptTokens: number;
}

export function sizeOf(messages: readonly Message[]): Size {
  const promptBytes = messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  return {
    promptBytes,
    promptTokens: Math.ceil(promptBytes / BYTES_PER_TOKEN) + messages.length * TOKENS_PER_MESSAGE,
  };
}

/** Of one text alone. */
export function tokensOf(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
}

/** A prompt of so many bytes has at least so many tokens. */
export function fewestTokens(promptBytes: number): number {
  return Math.ceil(promptBytes / MOST_BYTES_PER_TOKEN);
}
