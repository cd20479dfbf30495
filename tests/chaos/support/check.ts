/**
 * Whether a stream came as it had to. The replay engine's token at position n is a function of the prompt and n, so every
 * delta is held against what it must be. Pure; times in milliseconds of one monotonic clock.
 */
import { replaySeed, replayToken } from '../../../nodes/backends/replay.ts';
import type { ChatResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import type { Message } from '../../../proto/gen/infermesh/v1/types.ts';

export type Event = NonNullable<ChatResponse['event']>;

/** How one stream ended, and what was wrong on the way. */
export interface Verdict {
  readonly prompt: string;
  /** 'finished', else the reason of the fault that ended it. */
  readonly end: string;
  readonly tokens: number;
  /** Positions that were passed over, or were missing at a finish. */
  readonly lost: number;
  /** Positions that came again. */
  readonly repeated: number;
  /** Positions whose text was not the prompt's, or lay behind the answer's end. */
  readonly wrong: number;
  readonly startedAt: number;
  /** NaN when there was none. */
  readonly firstTokenMs: number;
  /** Between two deltas, and from the last to an end that is no finish; 0 with fewer than two. */
  readonly worstGapMs: number;
  readonly totalMs: number;
  readonly migrations: number;
  /** A CacheSource; 0: it was generated for this request, or never came to its end. */
  readonly source: number;
  /** Node that answered first; empty when none did. */
  readonly node: string;
  /** When the caller cancelled, absolute; NaN when it did not. */
  readonly cancelledAt: number;
}

export class StreamCheck {
  readonly #prompt: string;
  readonly #expected: number;
  readonly #startedAt: number;
  readonly #seed: number;
  #next = 0;
  #lost = 0;
  #repeated = 0;
  #wrong = 0;
  #lastAt = Number.NaN;
  #firstTokenMs = Number.NaN;
  #worstGapMs = 0;
  #migrations = 0;
  #source = 0;
  #finished = false;
  #node = '';
  #cancelledAt = Number.NaN;

  /** @param expected tokens of the whole answer */
  constructor(messages: readonly Message[], expected: number, now: number) {
    this.#prompt = messages.at(-1)?.text ?? '';
    this.#seed = replaySeed(messages);
    this.#expected = expected;
    this.#startedAt = now;
  }

  get begun(): boolean {
    return this.#next > 0;
  }

  event(event: Event, now: number): void {
    if (event.$case === 'started') this.#node ||= event.value.node;
    else if (event.$case === 'delta') this.#delta(event.value, now);
    else {
      this.#finished = true;
      this.#migrations = event.value.migrations;
      this.#source = event.value.cached?.source ?? 0;
    }
  }

  #delta({ seq, tokens, text }: { seq: number; tokens: number; text: string }, now: number): void {
    if (this.#next === 0) this.#firstTokenMs = now - this.#startedAt;
    else this.#worstGapMs = Math.max(this.#worstGapMs, now - this.#lastAt);
    this.#lastAt = now;
    if (seq > this.#next) this.#lost += seq - this.#next;
    else this.#repeated += Math.min(tokens, this.#next - seq);
    let due = '';
    for (let n = seq; n < seq + tokens; n++) due += replayToken(this.#seed, n);
    if (text !== due) this.#wrong += tokens;
    this.#next = Math.max(this.#next, seq + tokens);
  }

  cancelled(now: number): void {
    this.#cancelledAt = now;
  }

  /** @param reason of the fault; absent when the call ended with OK */
  end(now: number, reason?: string): Verdict {
    const whole = reason === undefined && this.#finished;
    // The silence before an end that is none was waited for like any other.
    if (!whole && this.#next > 0) this.#worstGapMs = Math.max(this.#worstGapMs, now - this.#lastAt);
    return {
      prompt: this.#prompt,
      end: whole ? 'finished' : (reason ?? 'NO_FINISH'),
      tokens: this.#next,
      lost: this.#lost + (whole ? Math.max(0, this.#expected - this.#next) : 0),
      repeated: this.#repeated,
      wrong: this.#wrong + Math.max(0, this.#next - this.#expected),
      startedAt: this.#startedAt,
      firstTokenMs: this.#firstTokenMs,
      worstGapMs: this.#worstGapMs,
      totalMs: now - this.#startedAt,
      migrations: this.#migrations,
      source: this.#source,
      node: this.#node,
      cancelledAt: this.#cancelledAt,
    };
  }
}
