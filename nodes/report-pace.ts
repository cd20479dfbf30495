/**
 * When reports go out: at the pace of the router that wants them most often, and soon after a change. One round for all
 * routers, so that the machine is looked at once.
 */

/** What a router may ask for, in milliseconds; `usual` where none asks. */
const INTERVAL = { least: 100, usual: 1000, most: 10_000 };
/** Changes that come close together go out in one report. */
const SOON_MS = 20;

export class ReportPace<Router> {
  readonly #report: () => void;
  readonly #asked = new Map<Router, number>();
  #intervalMs = INTERVAL.usual;
  #rounds: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;

  constructor(report: () => void) {
    this.#report = report;
    this.#rounds = setInterval(report, this.#intervalMs);
  }

  /** @param intervalMs what the router's welcome says; 0: nothing */
  asked(router: Router, intervalMs: number): void {
    if (intervalMs > 0) this.#asked.set(router, Math.min(INTERVAL.most, Math.max(INTERVAL.least, intervalMs)));
    else this.#asked.delete(router);
    this.#adjust();
  }

  /** The router is gone, and with it what it asked for. */
  gone(router: Router): void {
    this.#asked.delete(router);
    this.#adjust();
  }

  soon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#report();
    }, SOON_MS);
  }

  stop(): void {
    clearInterval(this.#rounds);
    clearTimeout(this.#soon);
  }

  #adjust(): void {
    const intervalMs = this.#asked.size === 0 ? INTERVAL.usual : Math.min(...this.#asked.values());
    if (intervalMs === this.#intervalMs) return;
    this.#intervalMs = intervalMs;
    clearInterval(this.#rounds);
    this.#rounds = setInterval(this.#report, intervalMs);
  }
}
