/**
 * One circuit breaker, and the only place that knows opossum.
 *
 *   closed -> open         it tripped, and somebody else can take the work
 *   open -> half open      after 1 s to 30 s, twice as long each time it fails again
 *   half open -> closed    its one probe succeeded
 *             -> open      its one probe failed
 *             -> half open its one probe told nothing
 *
 * opossum keeps the state, admits the one probe, counts verdicts in a rolling window and trips on their rate. It was
 * made for calls that return: it counts a call when it starts and judges it by its promise, it takes what is filtered
 * out for a success, the late end of an old call for news, and it has clocks of its own. So what it hears of here is
 * verdicts, each begun and ended at once when an attempt has completed; what tells nothing it never hears of; its window
 * is turned and its reset is timed by the router's clock. A circuit serves for one state and is replaced with it, since
 * its window can be emptied and its half-open state be entered in no other way.
 */
import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import type { Clock } from '../clock.ts';

/** Failures of transport, or stalls, one after the other. */
export const TRIPS_IN_A_ROW = 3;
/** Below this many verdicts in the window no rate is told. */
export const LEAST_SAMPLES = 10;
export const WINDOW_MS = 10_000;
const BUCKETS = 10;
const BUCKET_MS = WINDOW_MS / BUCKETS;
/** More than these in a hundred failing trip it. */
const MOST_FAILING = 50;
/** How long it stays open: drawn from one power of two to the next. */
export const OPEN_MS = { least: 1000, most: 30_000 };

export type BreakerState = 'closed' | 'open' | 'half_open';
export type OpenedWhy = 'failures_in_a_row' | 'low_success' | 'probe_failed';
export type BreakerChange =
  | { readonly to: 'open'; readonly why: OpenedWhy; readonly openMs: number }
  | { readonly to: 'half_open' }
  | { readonly to: 'closed' };

export interface BreakerOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly onChange: (change: BreakerChange) => void;
  /** Half open as before, and free for another probe. */
  readonly onFree: () => void;
}

/** One attempt's place in the breaker's history: what began before the last opening or closing is no news. */
export interface Entry {
  readonly era: number;
  readonly probe: boolean;
}

type Verdict = (succeeded: boolean) => Promise<void>;
type Circuit = CircuitBreaker<[boolean], void>;

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #window = new EventEmitter();
  #circuit: Circuit;
  #turnedAt: number;
  #inARow = 0;
  /** Until then one failure is enough. */
  #warnedUntil = Number.NEGATIVE_INFINITY;
  #era = 0;
  /** Openings, each soon after the one before. */
  #openings = 0;
  #closedAt = Number.NEGATIVE_INFINITY;
  #probe: Entry | undefined;
  /** Stands for a request that has been chosen to be the probe and is not sent yet. */
  #promise: object | undefined;
  #stopTimer: () => void = () => {};

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#turnedAt = options.clock.now();
    this.#circuit = this.#newCircuit(true);
  }

  get state(): BreakerState {
    if (this.#circuit.closed) return 'closed';
    return this.#circuit.halfOpen ? 'half_open' : 'open';
  }

  /** Whether a request may be sent, as the probe if it is half open. */
  get permits(): boolean {
    return this.#circuit.closed || (this.#circuit.pendingClose && !this.#promise);
  }

  /** Keeps the probe's place for a request that is about to be sent, until it is or the promise is disposed. */
  promise(): Disposable | undefined {
    if (this.#circuit.closed || !this.permits) return undefined;
    const promise = {
      [Symbol.dispose]: () => {
        if (this.#promise !== promise) return;
        this.#promise = undefined;
        this.#options.onFree();
      },
    };
    this.#promise = promise;
    return promise;
  }

  /** An attempt is sent. If the breaker is half open and has no probe yet, this is it. */
  enter(): Entry {
    const probe = this.#circuit.pendingClose;
    const entry: Entry = { era: this.#era, probe };
    if (!probe) return entry;
    this.#promise = undefined;
    this.#probe = entry;
    // Takes the one place there is; the verdict replaces the circuit, so this call need never end.
    void this.#circuit.fire(true);
    return entry;
  }

  succeeded(entry: Entry): void {
    if (!this.#isNews(entry)) return;
    this.#inARow = 0;
    this.#warnedUntil = Number.NEGATIVE_INFINITY;
    if (this.#circuit.closed) this.#count(true);
    // Whatever was sent since it opened proves as much as a probe.
    else this.#close();
  }

  /** @param inARow whether it counts towards `TRIPS_IN_A_ROW` @param isLast whether nobody else can take the work */
  failed(entry: Entry, inARow: boolean, isLast: () => boolean): void {
    if (!this.#isNews(entry)) return;
    if (entry === this.#probe) return this.#open('probe_failed');
    if (!this.#circuit.closed) return;
    this.#count(false);
    if (inARow) this.#inARow++;
    const why = this.#circuit.opened ? 'low_success' : 'failures_in_a_row';
    const enough = this.#options.clock.now() < this.#warnedUntil ? 1 : TRIPS_IN_A_ROW;
    if (why === 'failures_in_a_row' && this.#inARow < enough) return;
    if (isLast()) this.#circuit.close();
    else this.#open(why);
  }

  /**
   * Elsewhere it has opened, which counts for so long: what fails here meanwhile does not stand alone. That nothing fails here counts
   * more than what others saw, so by itself this changes nothing, and a success ends it.
   */
  warn(forMs: number): void {
    if (this.#circuit.closed) this.#warnedUntil = this.#options.clock.now() + forMs;
  }

  /** It told nothing; if it was the probe, another may be. */
  neutral(entry: Entry): void {
    if (entry !== this.#probe || !this.#isNews(entry)) return;
    this.#halfOpen();
    this.#options.onFree();
  }

  /** The probe goes on and has given tokens in its time: that is enough, and its end counts like any other's. */
  proved(entry: Entry): Entry {
    if (entry === this.#probe) this.#close();
    return this.#circuit.closed ? this.enter() : entry;
  }

  /** If it is closed: forgets what it has seen, and what has begun. */
  renew(): void {
    if (!this.#circuit.closed) return;
    this.#era++;
    this.#inARow = 0;
    this.#replace(true);
  }

  /** No verdict changes it any more. */
  stop(): void {
    this.#era++;
    this.#promise = undefined;
    this.#stopTimer();
    this.#circuit.shutdown();
  }

  #isNews({ era }: Entry): boolean {
    return era === this.#era;
  }

  #count(succeeded: boolean): void {
    this.#turn();
    this.#circuit.fire(succeeded).catch(() => {});
  }

  /** Brings the window to the present: as many buckets further as have passed since it was looked at. */
  #turn(): void {
    const due = Math.floor((this.#options.clock.now() - this.#turnedAt) / BUCKET_MS);
    this.#turnedAt += due * BUCKET_MS;
    for (let i = 0; i < Math.min(due, BUCKETS); i++) this.#window.emit('rotate');
  }

  #open(why: OpenedWhy): void {
    const { clock, onChange } = this.#options;
    if (why !== 'probe_failed' && clock.now() - this.#closedAt > WINDOW_MS) this.#openings = 0;
    const openMs = this.#openMs(this.#openings++);
    this.#era++;
    this.#probe = undefined;
    this.#circuit.open();
    this.#stopTimer = clock.after(openMs, () => {
      this.#halfOpen();
      onChange({ to: 'half_open' });
    });
    onChange({ to: 'open', why, openMs });
  }

  #openMs(before: number): number {
    const { least, most } = OPEN_MS;
    const low = Math.min(most / 2, least * 2 ** before);
    return Math.round(low + this.#options.random() * Math.min(low, most - low));
  }

  #halfOpen(): void {
    this.#probe = undefined;
    this.#replace(false);
  }

  #close(): void {
    this.#stopTimer();
    this.#era++;
    this.#probe = undefined;
    this.#promise = undefined;
    this.#inARow = 0;
    this.#closedAt = this.#options.clock.now();
    this.#replace(true);
    this.#options.onChange({ to: 'closed' });
  }

  #replace(closed: boolean): void {
    this.#circuit.shutdown();
    this.#circuit = this.#newCircuit(closed);
  }

  #newCircuit(closed: boolean): Circuit {
    const circuit = new CircuitBreaker(verdict, {
      name: 'node',
      timeout: false,
      errorThresholdPercentage: MOST_FAILING,
      volumeThreshold: LEAST_SAMPLES,
      rollingCountTimeout: WINDOW_MS,
      rollingCountBuckets: BUCKETS,
      rotateBucketController: this.#window,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      state: { closed, halfOpen: !closed },
    } as CircuitBreaker.Options<[boolean]>);
    // What it does when it opens is to set a timer of its own.
    circuit.removeAllListeners('open');
    return circuit;
  }
}

/** Throws rather than rejects, so that opossum counts it before anything else happens. */
const verdict: Verdict = (succeeded) => {
  if (!succeeded) throw new Error('failed');
  return Promise.resolve();
};
