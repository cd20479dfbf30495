/**
 * Whether Redis refuses writes: full, read-only, or unable to save. Pure. It counts as over when a command of the kind
 * that was refused has succeeded and none was refused for a while, since a full Redis takes one now and then.
 */
import type { Clock } from '../clock.ts';

export const QUIET_MS = 10_000;

export class Refusals {
  readonly #clock: Pick<Clock, 'now'>;
  #last: { readonly command: string; readonly code: string; readonly at: number } | undefined;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** The code of the last one, while they last. */
  get code(): string | undefined {
    return this.#last?.code;
  }

  /** @returns whether this begins it, or is for another reason than the last */
  refused(command: string, code: string): boolean {
    const before = this.#last?.code;
    this.#last = { command, code, at: this.#clock.now() };
    return before !== code;
  }

  /** @returns whether this ends it */
  succeeded(command: string): boolean {
    if (this.#last?.command !== command || this.#clock.now() - this.#last.at < QUIET_MS) return false;
    this.#last = undefined;
    return true;
  }

  forget(): void {
    this.#last = undefined;
  }
}
