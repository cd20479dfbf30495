/**
 * Whether Redis is asked anything. Pure: it is told how calls go, and turns by the clock it is given.
 *
 *           late                           late = a call had no answer in time
 *     up ---------> suspect                failed = the connection is lost, or nothing can be served
 *     ^ | failed       |
 *     | +----> down <--+ no probe has succeeded for 500 ms
 *     |         |
 *     +---------+ a probe succeeded, in either; one runs at a time, between them pass 50 ms, then twice as long each
 *                 time, up to 1 s
 *
 * Only in `up` is Redis asked. A suspect that was up for long is probed at once, since one late answer is no outage;
 * another waits for its pause first, which is the shortest again only when `up` has lasted. So a Redis that answers
 * probes and nothing else costs one late call a second.
 */
import type { Clock } from '../clock.ts';

export type CircuitState = 'up' | 'suspect' | 'down';

export interface CircuitOptions {
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Whether Redis answers. May not settle: it then counts as failed. */
  probe(): Promise<boolean>;
  /** Told after each change. */
  onChange(state: CircuitState): void;
}

export const FIRST_PAUSE_MS = 50;
export const LONGEST_PAUSE_MS = 1_000;
export const PROBE_LIMIT_MS = 500;
/** How long nothing is asked before that is an outage. */
export const SUSPECT_MS = 500;
/** How long it must be up before the next outage is probed for with the shortest pause. */
export const STEADY_MS = 1_000;

export class Circuit implements Disposable {
  readonly #options: CircuitOptions;
  #state: CircuitState = 'down';
  #pauseMs = FIRST_PAUSE_MS;
  /** Since when it is what it is. */
  #since = 0;
  #cancel: () => void = () => undefined;
  /** Of the probe that runs; what an older one says is not heard. */
  #probe = 0;
  #probing = false;
  #over = false;

  /** Begins down, with a probe due after the first pause. */
  constructor(options: CircuitOptions) {
    this.#options = options;
    this.#pause();
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** A call had no answer in time. */
  late(): void {
    if (this.#state !== 'up' || this.#over) return;
    const steady = this.#leaveUp('suspect');
    if (steady) this.#startProbe();
    else this.#pause();
  }

  /** The connection is lost, or what it leads to serves nothing. */
  failed(): void {
    if (this.#over || this.#state === 'down') return;
    this.#endProbe();
    if (this.#state === 'up') this.#leaveUp('down');
    else this.#change('down');
    this.#pause();
  }

  /** There is reason to hope: the probe needs no longer wait. */
  hint(): void {
    if (this.#over || this.#state === 'up' || this.#probing) return;
    this.#startProbe();
  }

  /** @returns whether it had been up for long */
  #leaveUp(state: 'suspect' | 'down'): boolean {
    const steady = this.#lasted(STEADY_MS);
    if (steady) this.#pauseMs = FIRST_PAUSE_MS;
    this.#change(state);
    return steady;
  }

  #lasted(ms: number): boolean {
    return this.#options.clock.now() - this.#since >= ms;
  }

  #change(state: CircuitState): void {
    this.#state = state;
    this.#since = this.#options.clock.now();
    this.#options.onChange(state);
  }

  #pause(): void {
    if (this.#over) return;
    this.#cancel = this.#options.clock.after(this.#pauseMs, () => this.#startProbe());
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  #startProbe(): void {
    this.#cancel();
    if (this.#over) return;
    const probe = ++this.#probe;
    this.#probing = true;
    this.#cancel = this.#options.clock.after(PROBE_LIMIT_MS, () => this.#probed(probe, false));
    this.#options.probe().then(
      (succeeded) => this.#probed(probe, succeeded),
      () => this.#probed(probe, false),
    );
  }

  #probed(probe: number, succeeded: boolean): void {
    if (probe !== this.#probe || !this.#probing) return;
    this.#endProbe();
    if (succeeded) {
      this.#change('up');
      return;
    }
    if (this.#state === 'suspect' && this.#lasted(SUSPECT_MS)) this.#change('down');
    this.#pause();
  }

  #endProbe(): void {
    this.#cancel();
    this.#probing = false;
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#state = 'down';
    this.#endProbe();
  }
}
