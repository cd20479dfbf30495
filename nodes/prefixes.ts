/**
 * Which beginnings of conversations the engine's KV cache holds, slot by slot, for the routers. Found by watching the
 * jobs: a slot holds what its last job read, and the answer that it gave.
 */
import { MOST_CACHED_PREFIXES, prefixesOf } from '../proto/contract/prefix.ts';
import type { Message } from '../proto/gen/infermesh/v1/types.ts';
import { Role } from '../proto/gen/infermesh/v1/types.ts';
import type { Job, Outcome, Sink, Timings } from './backends/backend.ts';

/** Of one slot, however many there are. */
const FEWEST_OF_SLOT = 16;

export class CachedPrefixes {
  readonly #mostOfSlot: number;
  /** By slot; the one used last stands last. */
  readonly #slots = new Map<number, readonly number[]>();
  #version = 0;
  #union: readonly number[] | undefined;

  constructor(slots: number) {
    this.#mostOfSlot = Math.max(FEWEST_OF_SLOT, Math.floor(MOST_CACHED_PREFIXES / slots));
  }

  /** Greater after each change; 0 while there was none. */
  get version(): number {
    return this.#version;
  }

  /** Of all slots, the one used last first; each once, and no more than a report may have. */
  get hashes(): readonly number[] {
    this.#union ??= [...new Set([...this.#slots.values()].reverse().flat())].slice(0, MOST_CACHED_PREFIXES);
    return this.#union;
  }

  /** @returns a sink that hands everything on and notes what the job leaves in its slot */
  watching({ messages, delivered }: Pick<Job, 'messages' | 'delivered'>, sink: Sink): Sink {
    return new WatchedSink(messages, delivered?.text ?? '', sink, this);
  }

  of(messages: readonly Message[]): readonly number[] {
    return prefixesOf(messages, this.#mostOfSlot).map(({ hash }) => hash);
  }

  /** The engine lost its memory. */
  clear(): void {
    if (this.#slots.size === 0) return;
    this.#slots.clear();
    this.#changed();
  }

  /** The slot begins to read something else, and keeps what the two have in common. */
  begin(slot: number, hashes: readonly number[]): void {
    const before = new Set(this.#slots.get(slot));
    const kept = hashes.filter((hash) => before.has(hash));
    this.hold(slot, kept);
  }

  hold(slot: number, hashes: readonly number[]): void {
    this.#slots.delete(slot);
    this.#slots.set(slot, hashes);
    this.#changed();
  }

  #changed(): void {
    this.#version++;
    this.#union = undefined;
  }
}

class WatchedSink implements Sink {
  readonly #messages: readonly Message[];
  readonly #sink: Sink;
  readonly #cache: CachedPrefixes;
  #prompt: readonly number[] = [];
  #slot: number | undefined;
  #begun = false;
  #answer: string;

  constructor(messages: readonly Message[], delivered: string, sink: Sink, cache: CachedPrefixes) {
    this.#messages = messages;
    this.#answer = delivered;
    this.#sink = sink;
    this.#cache = cache;
  }

  prefilling(slot: number): void {
    this.#slot = slot;
    this.#prompt = this.#cache.of(this.#messages);
    this.#cache.begin(slot, this.#prompt);
    this.#sink.prefilling(slot);
  }

  delta(seq: number, tokens: number, text: string, tokenIds?: readonly number[]): void {
    // The first piece shows that the whole prompt has been read.
    if (!this.#begun && this.#slot !== undefined) this.#cache.hold(this.#slot, this.#prompt);
    this.#begun = true;
    this.#answer += text;
    this.#sink.delta(seq, tokens, text, tokenIds);
  }

  end(outcome: Outcome, tokens: number, timings: Timings): void {
    if (outcome.type === 'finish' && this.#slot !== undefined) {
      const answered = [...this.#messages, { role: Role.ROLE_ASSISTANT, text: this.#answer }];
      this.#cache.hold(this.#slot, this.#cache.of(answered));
    }
    this.#sink.end(outcome, tokens, timings);
  }
}
