/** Messages to tokens, by the model's chat template. */
import type { ChatHistoryItem, Token } from 'node-llama-cpp';
import type { Message } from '../../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import type { Library, Loaded } from './model.ts';

export interface Prompt {
  readonly tokens: Token[];
  /** Texts and tokens at which the chat template says that the model's turn is over. */
  readonly stopTexts: readonly string[];
  readonly stopTokens: ReadonlySet<Token>;
}

/** Applies the chat template, once, and tokenizes; special tokens come from the template only, never from the text. */
export function renderPrompt(loaded: Loaded, messages: readonly Message[]): Prompt | Failure {
  const { model, context, library, wrapper } = loaded;
  const room = context.contextSize - 1;
  const chars = messages.reduce((sum, message) => sum + message.text.length, 0);
  const atLeast = Math.ceil(chars / loaded.longestToken);
  // Tokenizing a megabyte takes a second in which nobody else is served.
  if (atLeast > room) return tooLong(`at least ${atLeast}`, room);

  const state = wrapper.generateContextState({ chatHistory: [...chatHistory(messages), { type: 'model', response: [''] }] });
  const values = [...state.contextText.values];
  const end = values.at(-1);
  // A template that only joins messages separates the empty answer to come with a blank, which belongs to no message.
  if (end instanceof library.SpecialTokensText && /^ +$/.test(end.value)) values.pop();
  const tokens = library.LlamaText(values).tokenize(model.tokenizer);
  const { bos, shouldPrependBosToken } = model.tokens;
  if (bos !== null && (shouldPrependBosToken || tokens.length === 0) && tokens[0] !== bos) tokens.unshift(bos);
  if (tokens.length > room) return tooLong(String(tokens.length), room);
  return { tokens, ...stopTriggers(loaded, state.stopGenerationTriggers) };
}

function tooLong(tokens: string, room: number): Failure {
  return failure('CONTEXT_TOO_LONG', `the prompt has ${tokens} tokens and the model takes ${room} at most`);
}

function chatHistory(messages: readonly Message[]): ChatHistoryItem[] {
  return messages.map(({ role, text }) => {
    const wellFormed = text.toWellFormed();
    if (role === Role.ROLE_SYSTEM) return { type: 'system', text: wellFormed };
    if (role === Role.ROLE_ASSISTANT) return { type: 'model', response: [wellFormed] };
    return { type: 'user', text: wellFormed };
  });
}

/** A trigger that begins with a special token is known by that token; the others are text. */
function stopTriggers({ model, library }: Loaded, triggers: readonly InstanceType<Library['LlamaText']>[]) {
  const stopTexts: string[] = [];
  const stopTokens = new Set<Token>();
  for (const trigger of triggers) {
    const parts = trigger.values.flatMap((value): (string | Token)[] => {
      if (typeof value === 'string') return [value];
      return value instanceof library.SpecialToken
        ? value.tokenize(model.tokenizer)
        : value.tokenizeSpecialTokensOnly(model.tokenizer);
    });
    const [first] = parts;
    if (typeof first === 'number') stopTokens.add(first);
    else if (parts.every((part) => typeof part === 'string') && parts.join('') !== '') stopTexts.push(parts.join(''));
  }
  return { stopTexts, stopTokens };
}
