/**
 * Keeps one node running:
 *
 *   starting -> serving -> (restarting -> starting -> serving)* -> ended
 *
 * A node that fails before it ever served, saying why, is given up: its model can't be had, and trying again would not
 * change that. One that dies otherwise is started again with growing pauses.
 */
import type { Step } from '../output/progress.ts';
import { Child } from './child.ts';
import type { ChildMessage } from './messages.ts';
import type { PlannedNode } from './settings.ts';

export type NodeNews =
  | { readonly type: 'progress'; readonly step: Step }
  | { readonly type: 'restarting'; readonly why: string; readonly inMs: number }
  | { readonly type: 'given_up'; readonly why: string }
  | { readonly type: 'log'; readonly line: string };

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** A node that served this long before it died starts the pauses anew. */
const RECOVERED_MS = 60_000;
/** Of starts in a row that died without a word before the node ever served. */
const FUTILE_STARTS = 3;

export class NodeKeeper {
  readonly plan: PlannedNode;
  readonly #args: readonly string[];
  readonly #tell: (news: NodeNews) => void;
  #child: Child | undefined;
  #restart: NodeJS.Timeout | undefined;
  #deaths = 0;
  #everServed = false;
  #servingSince: number | undefined;
  #failure: string | undefined;
  #state: 'running' | 'given up' | 'ended' = 'running';

  constructor(plan: PlannedNode, args: readonly string[], tell: (news: NodeNews) => void) {
    this.plan = plan;
    this.#args = args;
    this.#tell = tell;
    this.#start();
  }

  get givenUp(): boolean {
    return this.#state === 'given up';
  }

  /** The router sees it serve. @returns whether that is news */
  serves(): boolean {
    if (this.#servingSince !== undefined || this.#state !== 'running') return false;
    this.#servingSince = performance.now();
    this.#everServed = true;
    return true;
  }

  get serving(): boolean {
    return this.#servingSince !== undefined;
  }

  #start(): void {
    this.#failure = undefined;
    this.#child = new Child(this.#args, {
      onMessage: (message) => this.#receive(message),
      onLine: (line) => this.#tell({ type: 'log', line }),
      onExit: (how) => this.#died(how),
    });
  }

  #receive(message: ChildMessage): void {
    if (message.type === 'progress') this.#tell({ type: 'progress', step: message.step });
    else if (message.type === 'failed') this.#failure = message.message;
  }

  #died(how: string): void {
    this.#child = undefined;
    if (this.#state !== 'running') return;
    const servedMs = this.#servingSince === undefined ? 0 : performance.now() - this.#servingSince;
    this.#servingSince = undefined;
    this.#deaths = servedMs >= RECOVERED_MS ? 1 : this.#deaths + 1;
    const why = this.#failure ?? `its process ended with ${how}`;
    if (!this.#everServed && (this.#failure !== undefined || this.#deaths >= FUTILE_STARTS)) {
      this.#state = 'given up';
      this.#tell({ type: 'given_up', why });
      return;
    }
    const inMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#deaths - 1));
    this.#restart = setTimeout(() => this.#start(), inMs);
    this.#tell({ type: 'restarting', why, inMs });
  }

  async end(graceMs: number): Promise<void> {
    this.#state = 'ended';
    clearTimeout(this.#restart);
    await this.#child?.end(graceMs);
  }

  kill(): void {
    this.#state = 'ended';
    clearTimeout(this.#restart);
    this.#child?.kill();
  }
}
