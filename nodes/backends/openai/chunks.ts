/**
 * What a server streams, as events: Server-Sent Events whose data are chunks of the Chat Completions API
 * (https://platform.openai.com/docs/api-reference/chat-streaming), with what vLLM and llama-server add to them. Pure;
 * however the bytes are split, the events are the same.
 *
 * Counting tokens: a chunk that tells its token ids stands for as many tokens, one that tells how many there are by now
 * for those that are new, and any other for one. Tokens that bring no text, because a character is still incomplete, go
 * with the next text. Those of reasoning are in the usage alone: their text is no part of the answer.
 */
import { createParser } from 'eventsource-parser';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import { failureInStream } from './refusals.ts';

export interface ServerUsage {
  readonly inputTokens: number;
  /** Of this response, reasoning with it. */
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
}

export type ChunkEvent =
  /** Whole code points. `tokenIds` are as many as `tokens`, or none where the server does not tell them. */
  | { readonly type: 'text'; readonly text: string; readonly tokens: number; readonly tokenIds: readonly number[] }
  /** As of now; the last one counts. */
  | { readonly type: 'usage'; readonly usage: ServerUsage }
  | { readonly type: 'finish'; readonly reason: FinishReason }
  | { readonly type: 'failure'; readonly failure: Failure }
  | { readonly type: 'done' };

/** Of one event, or between two; a chunk of a long text is a few hundred bytes. */
export const MOST_EVENT_CHARACTERS = 1 << 20;

/** https://platform.openai.com/docs/api-reference/chat/streaming, and TGI's own words for the same. */
const FINISHES: Readonly<Record<string, FinishReason>> = {
  stop: FinishReason.FINISH_REASON_STOP,
  eos_token: FinishReason.FINISH_REASON_STOP,
  stop_sequence: FinishReason.FINISH_REASON_STOP,
  length: FinishReason.FINISH_REASON_LENGTH,
};

const BAD_ENDS: Readonly<Record<string, string>> = {
  content_filter: "the server's content filter ended the answer",
  tool_calls: 'the server called a tool, and none was offered to it',
  function_call: 'the server called a function, and none was offered to it',
};

type Fields = Readonly<Record<string, unknown>>;

/** Bytes in, events out. Nothing follows a failure. */
export class ChunkReader {
  readonly #decoder = new TextDecoder();
  readonly #parser = createParser({ onEvent: ({ data }) => this.#read(data) });
  /** Characters since the last event; the parser drops comments, and lines that are no field, however long they are. */
  #sinceEvent = 0;
  #events: ChunkEvent[] = [];
  #over = false;
  /** Text and tokens that wait: half a surrogate pair, or tokens without a text. */
  #text = '';
  #tokens = 0;
  #tokenIds: number[] = [];
  /** How many tokens the server has told of so far. */
  #told = 0;

  push(bytes: Uint8Array): ChunkEvent[] {
    if (!this.#over) this.#feed(this.#decoder.decode(bytes, { stream: true }));
    return this.#take();
  }

  /** The connection ended: an event without the blank line behind it counts. */
  end(): ChunkEvent[] {
    if (!this.#over) this.#feed(`${this.#decoder.decode()}\n\n`);
    if (!this.#over) this.#flush();
    return this.#take();
  }

  #feed(text: string): void {
    this.#sinceEvent += text.length;
    this.#parser.feed(text);
    if (this.#sinceEvent <= MOST_EVENT_CHARACTERS) return;
    this.#fail(`the server sent over ${MOST_EVENT_CHARACTERS} characters without an event`);
  }

  #take(): ChunkEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #fail(message: string): void {
    this.#end(failure('ENGINE_FAILED', message));
  }

  #end(why: Failure): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.push({ type: 'failure', failure: why });
  }

  #read(data: string): void {
    this.#sinceEvent = 0;
    if (this.#over) return;
    if (data.trim() === '[DONE]') {
      this.#flush();
      this.#events.push({ type: 'done' });
      return;
    }
    const chunk = parsed(data);
    if (!chunk) return this.#fail('the server sent a chunk that is no JSON object');
    if (chunk.error !== undefined && chunk.error !== null) return this.#end(failureInStream(chunk.error));
    const choice = firstChoice(chunk.choices);
    if (choice) this.#readChoice(choice, countSoFar(chunk));
    const usage = usageOf(chunk);
    if (usage) this.#events.push({ type: 'usage', usage });
    if (typeof choice?.finish_reason === 'string') this.#finish(choice.finish_reason);
  }

  #readChoice(choice: Fields, soFar: number | undefined): void {
    const delta = fields(choice.delta);
    const content = text(delta?.content);
    const reasoning = text(delta?.reasoning_content) + text(delta?.reasoning);
    const ids = numbers(choice.token_ids);
    const tokens = ids ? ids.length : soFar === undefined ? Number(content !== '') : Math.max(0, soFar - this.#told);
    this.#told = soFar ?? this.#told + tokens;
    if (reasoning !== '' && content === '') return;
    this.#text += content;
    this.#tokens += tokens;
    if (ids) this.#tokenIds.push(...ids);
    // What no token stands for goes with the next one.
    if (this.#tokens > 0) this.#release(/[\ud800-\udbff]$/.test(this.#text) ? 1 : 0);
  }

  /** @param held characters at the end that wait */
  #release(held: number): void {
    const ready = this.#text.slice(0, this.#text.length - held);
    if (ready === '') return;
    const tokens = Math.max(1, this.#tokens);
    const tokenIds = this.#tokenIds.length === tokens ? this.#tokenIds : [];
    this.#events.push({ type: 'text', text: ready.toWellFormed(), tokens, tokenIds });
    this.#text = this.#text.slice(ready.length);
    this.#tokens = 0;
    this.#tokenIds = [];
  }

  #flush(): void {
    this.#release(0);
  }

  #finish(reason: string): void {
    this.#flush();
    const known = Object.hasOwn(FINISHES, reason) ? FINISHES[reason] : undefined;
    if (known !== undefined) this.#events.push({ type: 'finish', reason: known });
    else this.#fail((Object.hasOwn(BAD_ENDS, reason) && BAD_ENDS[reason]) || 'the server broke the answer off');
  }
}

function parsed(data: string): Fields | undefined {
  try {
    return fields(JSON.parse(data));
  } catch {
    return undefined;
  }
}

function fields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');
const count = (value: unknown) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < 2 ** 32 ? value : undefined;

function numbers(value: unknown): number[] | undefined {
  return Array.isArray(value) && value.every((each) => count(each) !== undefined) ? (value as number[]) : undefined;
}

/** The last chunk of a stream, the one with the usage, has none. */
function firstChoice(choices: unknown): Fields | undefined {
  return Array.isArray(choices) ? fields(choices.find((choice) => (fields(choice)?.index ?? 0) === 0)) : undefined;
}

/** vLLM tells it by `continuous_usage_stats`, llama-server by `timings_per_token`. */
function countSoFar({ usage, timings }: Fields): number | undefined {
  return count(fields(usage)?.completion_tokens) ?? count(fields(timings)?.predicted_n);
}

function usageOf({ usage: given, timings: measured }: Fields): ServerUsage | undefined {
  const usage = fields(given);
  const timings = fields(measured);
  const cached = count(timings?.cache_n) ?? 0;
  if (usage) {
    const inputTokens = count(usage.prompt_tokens) ?? 0;
    const details = fields(usage.prompt_tokens_details);
    const cachedInputTokens = Math.min(inputTokens, count(details?.cached_tokens) ?? cached);
    return { inputTokens, outputTokens: count(usage.completion_tokens) ?? 0, cachedInputTokens };
  }
  const read = count(timings?.prompt_n);
  if (read === undefined) return undefined;
  return { inputTokens: cached + read, outputTokens: count(timings?.predicted_n) ?? 0, cachedInputTokens: cached };
}
