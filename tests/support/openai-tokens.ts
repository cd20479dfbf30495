/** What the model of tests/support/openai-server.ts says: a pure function of the prompt, the seed and the position. */
import { createHash } from 'node:crypto';
import { replayVector } from '../../nodes/backends/replay-vectors.ts';

export interface ChatBody {
  readonly model?: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly temperature?: number;
  readonly seed?: number;
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
  readonly continue_final_message?: boolean;
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly schema: JsonSchema } };
  readonly stream_options?: { readonly include_usage?: boolean; readonly continuous_usage_stats?: boolean };
  readonly return_token_ids?: boolean;
  readonly timings_per_token?: boolean;
  /** Of /v1/embeddings. */
  readonly input?: readonly string[];
}

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
}

export interface Token {
  readonly text: string;
  readonly id: number;
}

export interface Answered {
  /** Undefined where the model ends its turn. */
  token(position: number): Token | undefined;
}

const WORDS = ' the, dragon, small, lake,森, and, flew 🐉, away, naïve, over, hills, moon,.,\n, then'.split(',');
const VECTOR_NUMBERS = 64;

export const wordsIn = (text: string) => text.split(/\s+/).filter(Boolean);

/** Of the prompt, as a chat template of three tokens a message makes it. */
export function contextTokensOf(body: ChatBody): number {
  const { messages, continue_final_message: goesOn = false } = body;
  const [read, begun] = goesOn ? [messages.slice(0, -1), messages.at(-1)!.content] : [messages, ''];
  const prompt = read.reduce((sum, { content }) => sum + wordsIn(content).length + 3, 0);
  return prompt + (goesOn ? begunTokens(bodySeed({ ...body, messages: read }), begun).length : 0);
}

export function answerOf(body: ChatBody, schemas: boolean): Answered {
  const { continue_final_message: goesOn = false, messages, response_format: format } = body;
  if (schemas && format?.json_schema) {
    const characters = [...JSON.stringify(instanceOf(format.json_schema.schema))];
    return {
      token: (position) => (characters[position] === undefined ? undefined : { text: characters[position], id: 1000 + position }),
    };
  }
  const prompt = goesOn ? { ...body, messages: messages.slice(0, -1) } : body;
  const seed = bodySeed(prompt);
  const begun = goesOn ? begunTokens(seed, messages.at(-1)!.content) : [];
  // A text that ends within a token goes on with the rest of it.
  const rest = goesOn ? said(begun).slice(messages.at(-1)!.content.length) : '';
  const from = begun.length - Number(rest !== '');
  return {
    token: (position) =>
      position === 0 && rest !== '' ? { ...tokenAt(seed, from), text: rest } : tokenAt(seed, from + position),
  };
}

const said = (tokens: readonly Token[]) => tokens.map(({ text }) => text).join('');

function bodySeed({ messages, temperature = 1, seed = 0 }: ChatBody): string {
  return JSON.stringify([messages.map(({ content }) => content), temperature > 0 ? seed : 'greedy']);
}

function tokenAt(seed: string, position: number): Token {
  const [a = 0, b = 0] = createHash('sha256').update(`${seed} ${position}`).digest();
  const word = (a * 256 + b) % WORDS.length;
  return { text: WORDS[word] as string, id: 100 + word };
}

/** The tokens that a text which this model has begun consists of. A template cuts the blanks at its end. */
function begunTokens(seed: string, text: string): Token[] {
  const tokens: Token[] = [];
  while (said(tokens).length < text.length) tokens.push(tokenAt(seed, tokens.length));
  return tokens;
}

function instanceOf(schema: JsonSchema): unknown {
  if (schema.enum) return schema.enum[0];
  if (schema.type === 'object') {
    return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, each]) => [name, instanceOf(each)]));
  }
  return schema.type === 'integer' ? 7 : 'word';
}

/** Texts that share words are near each other. */
export const vectorOf = (text: string) => [...replayVector(text, VECTOR_NUMBERS)];
