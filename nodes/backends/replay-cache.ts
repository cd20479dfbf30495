/** The KV cache that the replay engine pretends to have: what each slot read last, and the answer it gave. Pure. */
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';

/** The replay tokenizer: so many UTF-16 units are a token. */
export const UNITS_PER_TOKEN = 4;
/** Slots remembered; what the others hold is as good as forgotten. */
const MOST_SLOTS = 64;
/** As in llama.cpp's backend: below this part of the prompt, another conversation's cache is not given up. */
const WORTH_REUSING = 0.25;
/** Of an answer, in UTF-16 units: longer ones are remembered by their beginning. */
export const MOST_ANSWER_UNITS = 65_536;

export function countTokens(messages: readonly Message[]): number {
  return messages.reduce((sum, { text }) => sum + Math.ceil(text.length / UNITS_PER_TOKEN), 0);
}

export class ReplayCache {
  /** By slot; the one used longest ago first. */
  readonly #slots = new Map<number, readonly Message[]>();

  /** The free slot that holds the most of the conversation; where none holds enough, the one free longest. */
  pick(free: ReadonlySet<number>, messages: readonly Message[], inputTokens: number): number {
    let best = free.values().next().value as number;
    let most = inputTokens * WORTH_REUSING;
    for (const [slot, held] of this.#slots) {
      if (!free.has(slot)) continue;
      const common = commonTokens(held, messages);
      if (common > most) [best, most] = [slot, common];
    }
    return best;
  }

  /** The slot reads a conversation. @returns tokens of it that it held already; the last one is always read */
  read(slot: number, messages: readonly Message[], inputTokens: number): number {
    const cached = Math.min(commonTokens(this.#slots.get(slot) ?? [], messages), Math.max(0, inputTokens - 1));
    this.#hold(slot, messages);
    return cached;
  }

  /** The slot has answered what it read. */
  answered(slot: number, answer: string): void {
    const read = this.#slots.get(slot);
    if (read) this.#hold(slot, [...read, { role: Role.ROLE_ASSISTANT, text: answer }]);
  }

  #hold(slot: number, messages: readonly Message[]): void {
    this.#slots.delete(slot);
    this.#slots.set(slot, messages);
    for (const oldest of this.#slots.keys()) {
      if (this.#slots.size <= MOST_SLOTS) break;
      this.#slots.delete(oldest);
    }
  }
}

function commonTokens(held: readonly Message[], messages: readonly Message[]): number {
  let tokens = 0;
  for (const [at, { role, text }] of messages.entries()) {
    const other = held[at];
    if (other?.role !== role) return tokens;
    if (other.text !== text) return tokens + Math.floor(commonUnits(other.text, text) / UNITS_PER_TOKEN);
    tokens += Math.ceil(text.length / UNITS_PER_TOKEN);
  }
  return tokens;
}

function commonUnits(one: string, other: string): number {
  const most = Math.min(one.length, other.length);
  let at = 0;
  while (at < most && one.charCodeAt(at) === other.charCodeAt(at)) at++;
  return at;
}
