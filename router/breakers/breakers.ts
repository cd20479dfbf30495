/**
 * The breakers of all nodes: one for each node, and one for each model on it. A request is sent where both let it.
 *
 * The node's breaker hears of transport and stalls, whatever the model; the model's of engine failures too. When the
 * wider one changes, the narrower ones that are closed begin anew, so that one cause is told once and probed once.
 *
 * The last healthy node of a model is never ejected: its breakers do not open while nobody else could take its work, and
 * if they are open when the others go, requests are sent there all the same.
 */
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import type { Clock } from '../clock.ts';
import type { BreakerChange, Entry } from './breaker.ts';
import { Breaker } from './breaker.ts';

/** What a probe that is given no limit has for its first token. */
export const PROBE_LIMIT_MS = 10_000;
/** What is known of a node that left is kept for so long. */
export const REMEMBER_MS = 60_000;

/** Transport: the node or the way to it was lost. Stall: no token in time. Engine: it died of the request or refused it. */
export type FailureKind = 'transport' | 'stall' | 'engine';
/** Why no request is sent there now: it is open, or its one probe is under way. */
export type Barred = 'open' | 'probing';

/** What is to be known of one attempt. The first verdict stands; all three do nothing after it. */
export interface Trial extends Disposable {
  /** Its first token came within its budget, and it completed cleanly. */
  succeeded(): void;
  failed(kind: FailureKind): void;
  /** It tells nothing of the node: cancelled, or the client's fault. Disposing is the same. */
  neutral(): void;
}

export interface BreakersOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly tell: Tell<FleetEvent>;
  /** The nodes that could serve a model now, as far as everything else is concerned. */
  readonly servers: (model: string) => Iterable<string>;
  /** A node may be let in that was not. */
  readonly onPermit: () => void;
  /** An attempt stalled there. */
  readonly onStall: (node: string, model: string) => void;
}

/** One node's. */
interface Known {
  readonly epoch: number;
  readonly node: Breaker;
  readonly models: Map<string, Breaker>;
  /** By model, what was sent as a probe last. */
  readonly probes: Map<string, Verdict>;
  /** When it left; undefined while it is here. */
  leftAt: number | undefined;
}

export class Breakers {
  readonly #options: BreakersOptions;
  readonly #nodes = new Map<string, Known>();

  constructor(options: BreakersOptions) {
    this.#options = options;
  }

  permits(node: string, model: string): boolean {
    return this.barred(node, model) === undefined;
  }

  /**
   * Why a candidate is out; undefined when it is not.
   * @param hasTrusted `hasTrusted` below, for who asks of many nodes at once and remembers what it said
   */
  barred(node: string, model: string, hasTrusted = (name: string) => this.hasTrusted(name)): Barred | undefined {
    const barred = this.#barred(node, model);
    return barred && hasTrusted(model) ? barred : undefined;
  }

  /** Whether some node could serve the model whose breakers are closed. */
  hasTrusted(model: string): boolean {
    return !this.#isLast(undefined, model);
  }

  #barred(node: string, model: string): Barred | undefined {
    const known = this.#nodes.get(node);
    if (!known) return undefined;
    const narrow = known.models.get(model);
    if (known.node.state === 'open' || narrow?.state === 'open') return 'open';
    return known.node.permits && (narrow?.permits ?? true) ? undefined : 'probing';
  }

  /** Nobody else both serves the model and is trusted. */
  #isLast(node: string | undefined, model: string): boolean {
    for (const other of this.#options.servers(model)) if (other !== node && this.#isTrusted(other, model)) return false;
    return true;
  }

  #isTrusted(node: string, model: string): boolean {
    const known = this.#nodes.get(node);
    return !known || (known.node.state === 'closed' && (known.models.get(model)?.state ?? 'closed') === 'closed');
  }

  /** Those that have seen something. */
  #of(node: string, model: string): Breaker[] {
    const known = this.#nodes.get(node);
    if (!known) return [];
    const narrow = known.models.get(model);
    return narrow ? [known.node, narrow] : [known.node];
  }

  /**
   * A request has been chosen for a node and will be sent, unless this is disposed before: while a breaker is half open
   * nobody else is chosen to be its probe.
   */
  promise(node: string, model: string): Disposable {
    const promises = this.#of(node, model).map((breaker) => breaker.promise());
    return {
      [Symbol.dispose]: () => {
        for (const promise of promises) promise?.[Symbol.dispose]();
      },
    };
  }

  /**
   * An attempt is sent. If a breaker is half open, this may be its probe.
   * @param probeLimitMs what a probe has for its first token; if tokens come from there by then it has succeeded
   */
  started(node: string, model: string, probeLimitMs = PROBE_LIMIT_MS): Trial {
    const known = this.#nodes.get(node);
    // A node that is not here is not judged.
    if (!known) return new Verdict({ wide: undefined, narrow: undefined, isLast: () => true, onStall: () => {} });
    const narrow = known.models.get(model) ?? this.#breaker(node, model);
    known.models.set(model, narrow);
    const verdict = new Verdict({
      wide: known.node,
      narrow,
      isLast: () => this.#isLast(node, model),
      onStall: () => this.#options.onStall(node, model),
    });
    if (verdict.isProbe) {
      verdict.limit(this.#options.clock, probeLimitMs);
      known.probes.set(model, verdict);
    }
    return verdict;
  }

  /** A token came from there. */
  gave(node: string, model: string): void {
    this.#nodes.get(node)?.probes.get(model)?.gave();
  }

  #breaker(node: string, model?: string): Breaker {
    const { clock, random, onPermit } = this.#options;
    return new Breaker({
      clock,
      random,
      onFree: onPermit,
      onChange: (change) => {
        this.#told(change, node, model);
        // What the node's breaker has judged is not held against its models as well.
        if (model === undefined) for (const narrow of this.#nodes.get(node)?.models.values() ?? []) narrow.renew();
        if (change.to !== 'open') onPermit();
      },
    });
  }

  #told(change: BreakerChange, node: string, model: string | undefined): void {
    const where = { node, ...(model === undefined ? {} : { model }) };
    const { tell } = this.#options;
    if (change.to === 'open') {
      tell({ type: 'breaker_opened', ...where, why: change.why, openMs: change.openMs });
      this.onOpened(node, model, change.openMs);
    }
    if (change.to === 'half_open') tell({ type: 'breaker_half_open', ...where });
    if (change.to === 'closed') tell({ type: 'breaker_closed', ...where, why: 'succeeded' });
  }

  /** Called when one opens here, with how long it stays so; without a model it is the node's. */
  onOpened: (node: string, model: string | undefined, openMs: number) => void = () => {};

  /** At another router one has opened, which is to count here for so long. */
  warned(node: string, model: string | undefined, forMs: number): void {
    const known = this.#nodes.get(node);
    if (!known) return;
    if (model === undefined) return known.node.warn(forMs);
    const narrow = known.models.get(model) ?? this.#breaker(node, model);
    known.models.set(model, narrow);
    narrow.warn(forMs);
  }

  /** A node is here. Of an older process with its id nothing is held against it. */
  joined(node: string, epoch: number): void {
    this.#forgetThoseGone();
    const known = this.#nodes.get(node);
    if (known && known.epoch >= epoch) {
      known.leftAt = undefined;
      return;
    }
    if (known) this.#forget(node, known);
    this.#nodes.set(node, { epoch, node: this.#breaker(node), models: new Map(), probes: new Map(), leftAt: undefined });
  }

  left(node: string): void {
    this.#forgetThoseGone();
    const known = this.#nodes.get(node);
    if (known) known.leftAt = this.#options.clock.now();
  }

  #forgetThoseGone(): void {
    const now = this.#options.clock.now();
    for (const [node, known] of this.#nodes) {
      if (known.leftAt !== undefined && now - known.leftAt >= REMEMBER_MS) this.#forget(node, known);
    }
  }

  #forget(node: string, known: Known): void {
    this.#nodes.delete(node);
    const { tell } = this.#options;
    const all: [string | undefined, Breaker][] = [[undefined, known.node], ...known.models];
    for (const [model, breaker] of all) {
      const was = breaker.state;
      breaker.stop();
      if (was === 'closed') continue;
      tell({ type: 'breaker_closed', node, ...(model === undefined ? {} : { model }), why: 'forgotten' });
    }
  }

  /** Leaves no timer. */
  stop(): void {
    for (const { node, models } of this.#nodes.values()) for (const breaker of [node, ...models.values()]) breaker.stop();
    this.#nodes.clear();
  }
}

interface VerdictOptions {
  readonly wide: Breaker | undefined;
  readonly narrow: Breaker | undefined;
  readonly isLast: () => boolean;
  readonly onStall: () => void;
}

/** One attempt in the history of both its breakers. */
class Verdict implements Trial {
  readonly #options: VerdictOptions;
  #wide: Entry | undefined;
  #narrow: Entry | undefined;
  #streams = false;
  #over = false;
  #stopLimit: () => void = () => {};

  constructor(options: VerdictOptions) {
    this.#options = options;
    this.#wide = options.wide?.enter();
    this.#narrow = options.narrow?.enter();
  }

  get isProbe(): boolean {
    return this.#wide?.probe === true || this.#narrow?.probe === true;
  }

  limit(clock: Clock, ms: number): void {
    this.#stopLimit = clock.after(ms, () => (this.#streams ? this.#proved() : this.failed('stall')));
  }

  #proved(): void {
    const { wide, narrow } = this.#options;
    if (wide && this.#wide) this.#wide = wide.proved(this.#wide);
    if (narrow && this.#narrow) this.#narrow = narrow.proved(this.#narrow);
  }

  gave(): void {
    this.#streams = true;
  }

  succeeded(): void {
    if (!this.#end()) return;
    if (this.#wide) this.#options.wide?.succeeded(this.#wide);
    if (this.#narrow) this.#options.narrow?.succeeded(this.#narrow);
  }

  failed(kind: FailureKind): void {
    if (!this.#end()) return;
    const { wide, narrow, isLast, onStall } = this.#options;
    const inARow = kind !== 'engine';
    if (this.#wide) {
      if (inARow) wide?.failed(this.#wide, inARow, isLast);
      else wide?.neutral(this.#wide);
    }
    if (this.#narrow) narrow?.failed(this.#narrow, inARow, isLast);
    if (kind === 'stall') onStall();
  }

  neutral(): void {
    if (!this.#end()) return;
    if (this.#wide) this.#options.wide?.neutral(this.#wide);
    if (this.#narrow) this.#options.narrow?.neutral(this.#narrow);
  }

  [Symbol.dispose](): void {
    this.neutral();
  }

  /** @returns false after the first time */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#stopLimit();
    return true;
  }
}
