/**
 * Has nodes load the models that requests wait for. Of one model on one node:
 *
 *   idle -> asked       a request waits for it there, and what is being loaded elsewhere has too few slots for all who do
 *   asked -> settling   the node has loaded it
 *         -> resting    it could not
 *   settling -> idle    the node's reports have had the time to say so
 *   resting -> idle     after 2 s, then 4 s and so on up to 5 min, where only room was missing up to 30 s; the count begins
 *                       anew with a load that succeeds
 *
 * Nobody waits for a model that rests. A node that leaves is forgotten, and comes back with nothing held against it.
 */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { ModelLoad, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState, PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import type { Clock } from '../clock.ts';
import type { Cold } from '../select/candidate.ts';
import { REPORT_INTERVAL_MS } from './lease.ts';
import type { NodeLink } from './node-link.ts';

/** Room may come any moment: after 30 s without work another model makes it. */
const REST_MS = { first: 2000, most: 300_000, mostForRoom: 30_000 };
const SETTLE_MS = 2 * REPORT_INTERVAL_MS;
/** A node that neither goes on with a load nor reports that it loads has forgotten it. */
const SILENT_MS = 60_000;
/** For a load of which only the size is known: what a disk reads, and what warming up takes. */
const BYTES_PER_MS = 300_000;
const WARM_UP_MS = 1000;
/** A load of which nothing is known. */
const UNKNOWN_LOAD_MS = 10_000;
/** Of a load that takes longer than expected, this much counts as still to come. */
const OVERDUE_SHARE = 0.1;
/** One that has gone on for so long, and so many times longer than expected, is waited for no more. */
const ENDLESS = { ms: 600_000, times: 10 };

type Phase =
  | { readonly type: 'asked'; readonly since: number }
  | { readonly type: 'settling'; readonly until: number }
  | { readonly type: 'resting'; readonly until: number; readonly why: Fault };

/** Of one model on one node. */
interface Demand {
  phase: Phase | undefined;
  /** In a row. */
  failures: number;
  /** The node has said of it that it loads it when it is asked for. */
  wasLoadable: boolean;
  /** When the node was first heard to be loading it; undefined while it is not. */
  loadingSince: number | undefined;
}

export interface OnDemandOptions {
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly tell: Tell<FleetEvent>;
  readonly links: ReadonlyMap<string, NodeLink>;
  /** What waits may wait for something else now. */
  readonly onChange: () => void;
}

export class OnDemand {
  readonly #options: OnDemandOptions;
  readonly #demands = new WeakMap<NodeLink, Map<string, Demand>>();

  constructor(options: OnDemandOptions) {
    this.#options = options;
  }

  /** The node said how its models are. */
  reported(link: NodeLink): void {
    for (const { model, state } of link.loads) {
      const isLoadable = state === ModelState.MODEL_STATE_LOADABLE;
      const demand = isLoadable ? this.#demandOf(link, model) : this.#known(link, model);
      if (!demand) continue;
      demand.wasLoadable ||= isLoadable;
      const isLoading = state === ModelState.MODEL_STATE_LOADING;
      demand.loadingSince = isLoading ? (demand.loadingSince ?? this.#options.clock.now()) : undefined;
      if (state === ModelState.MODEL_STATE_SERVING) demand.failures = 0;
    }
  }

  /** @returns undefined while it is in memory, or on its way there for the first time */
  coldOf(link: NodeLink, model: ServedModel): Cold | undefined {
    const demand = this.#known(link, model.name);
    const load = link.loadOf(model.name);
    if (!demand?.wasLoadable || !load) return undefined;
    const now = this.#options.clock.now();
    const { phase, loadingSince } = demand;
    const takesMs = loadMsOf(load, model);
    // Its engine may die on the way, and is started again.
    const mends = load.state === ModelState.MODEL_STATE_RECOVERING;
    if (phase?.type === 'asked' && (mends || isCold(load))) return onItsWay(takesMs, now - phase.since);
    if (!isCold(load)) return undefined;
    if (loadingSince !== undefined) return onItsWay(takesMs, now - loadingSince);
    if (phase?.type === 'settling' && now < phase.until) return onItsWay(takesMs, takesMs);
    return { readyMs: takesMs, soonestMs: load.loadMs, loading: false, refused: refusalOf(link, phase, now) };
  }

  /**
   * Requests wait for a model that is not in memory there. It is loaded unless that is under way already, here or on
   * enough other nodes for all of them.
   * @param waiting how many wait for it, at least 1
   */
  wanted(node: string, model: string, waiting: number): void {
    const { links, clock } = this.#options;
    const link = links.get(node);
    const served = link?.models.find(({ name }) => name === model);
    if (!link || !served) return;
    const cold = this.coldOf(link, served);
    if (!cold || cold.loading || cold.refused !== undefined || this.#slotsToCome(model) >= waiting) return;
    const demand = this.#demandOf(link, model);
    const since = clock.now();
    demand.phase = { type: 'asked', since };
    this.#options.tell({ type: 'model_wanted', node, model, waiting });
    void this.#load(link, model).then(
      () => this.#loaded(link, model, demand, clock.now() - since),
      (thrown: unknown) => this.#failed(link, model, demand, toFault(thrown)),
    );
  }

  /** Of a model, on the nodes that load it now. */
  #slotsToCome(model: string): number {
    let slots = 0;
    for (const link of this.#options.links.values()) {
      const served = link.models.find(({ name }) => name === model);
      if (served && this.coldOf(link, served)?.loading) slots += served.slots;
    }
    return slots;
  }

  /** @throws Fault as the node failed, or because it says nothing more of it */
  #load(link: NodeLink, model: string): Promise<void> {
    const { clock } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watch = () =>
      clock.after(SILENT_MS, () => {
        const isLoading = link.loadOf(model)?.state === ModelState.MODEL_STATE_LOADING;
        if (isLoading) stop = watch();
        else reject(new Fault('NODE_STALLED', 'the node says nothing of it any more'));
      });
    let stop = watch();
    const load = { model, pull: false, onDemand: true };
    const onStage = () => {
      stop();
      stop = watch();
    };
    link.commands.run({ $case: 'load', value: load }, onStage).then(resolve, reject);
    return promise.finally(() => stop());
  }

  #loaded(link: NodeLink, model: string, demand: Demand, ms: number): void {
    demand.failures = 0;
    demand.phase = { type: 'settling', until: this.#options.clock.now() + SETTLE_MS };
    this.#options.tell({ type: 'model_came', node: link.id, model, ms });
    this.#options.onChange();
  }

  #failed(link: NodeLink, model: string, demand: Demand, why: Fault): void {
    const { clock, tell, links, onChange } = this.#options;
    const mostMs = why.reason === 'NO_ROOM' ? REST_MS.mostForRoom : REST_MS.most;
    const ownMs = Math.min(mostMs, REST_MS.first * 2 ** demand.failures++);
    const restMs = Math.max(ownMs, why.retryAfterMs ?? 0);
    demand.phase = { type: 'resting', until: clock.now() + restMs, why };
    // A node that is gone is told of elsewhere.
    if (links.get(link.id) !== link) return;
    tell({ type: 'model_not_loaded', node: link.id, model, reason: why.reason, restMs });
    onChange();
  }

  #known(link: NodeLink, model: string): Demand | undefined {
    return this.#demands.get(link)?.get(model);
  }

  #demandOf(link: NodeLink, model: string): Demand {
    const demands = this.#demands.get(link) ?? new Map<string, Demand>();
    this.#demands.set(link, demands);
    const demand = demands.get(model) ?? { phase: undefined, failures: 0, wasLoadable: false, loadingSince: undefined };
    demands.set(model, demand);
    return demand;
  }
}

function isCold({ state }: ModelLoad): boolean {
  return state === ModelState.MODEL_STATE_LOADABLE || state === ModelState.MODEL_STATE_LOADING;
}

function loadMsOf({ loadMs }: ModelLoad, { memoryBytes }: ServedModel): number {
  if (loadMs > 0) return loadMs;
  return memoryBytes > 0 ? memoryBytes / BYTES_PER_MS + WARM_UP_MS : UNKNOWN_LOAD_MS;
}

/** What it takes is known from the last time or guessed, so it may be there any moment. */
function onItsWay(takesMs: number, passedMs: number): Cold {
  if (passedMs > Math.max(ENDLESS.ms, ENDLESS.times * takesMs)) {
    const refused = `has been loading for ${Math.floor(passedMs / 60_000)} min`;
    return { readyMs: takesMs, soonestMs: 0, loading: false, refused };
  }
  const readyMs = Math.max(takesMs - passedMs, OVERDUE_SHARE * takesMs);
  return { readyMs, soonestMs: 0, loading: true, refused: undefined };
}

function refusalOf({ report }: NodeLink, phase: Phase | undefined, now: number): string | undefined {
  if (phase?.type === 'resting' && now < phase.until) {
    return `could not be loaded (${phase.why.reason}); it is tried again in ${Math.ceil((phase.until - now) / 1000)} s`;
  }
  const isShort = (report?.pressure?.level ?? 0) >= PressureLevel.PRESSURE_LEVEL_HIGH;
  return isShort ? 'the node is short of memory' : undefined;
}
