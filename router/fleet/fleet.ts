/**
 * The nodes that are attached to this router: who they are, whether they are to be trusted, what they have room for.
 * The nodes are the registry of record; what is here is gone with the router and whole again once they have dialled.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Report } from '../../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import { Breakers } from '../breakers/breakers.ts';
import type { Clock } from '../clock.ts';
import type { Candidate } from '../select/candidate.ts';
import { Canaries } from './canaries.ts';
import type { Standing } from './candidates.ts';
import { candidateOf, missingCandidate } from './candidates.ts';
import type { Claim } from './claims.ts';
import { clampModel, clampReport } from './claims.ts';
import { Damping } from './damping.ts';
import { CHECK_INTERVAL_MS, forgiveness, leaseAt } from './lease.ts';
import { Locality } from './locality.ts';
import { Missing } from './missing.ts';
import type { NodeLink } from './node-link.ts';
import type { Work } from './reservations.ts';

export type Leaving = Extract<FleetEvent, { type: 'node_left' }>['reason'];

export class Fleet {
  readonly #links = new Map<string, NodeLink>();
  readonly #clock: Clock;
  readonly #tell: Tell<FleetEvent>;
  readonly #listeners = new Set<() => void>();
  readonly #missing: Missing;
  readonly #damping = new Damping();
  readonly #canaries: Canaries;
  /** What attempts on the nodes came to, and who is given none for that. */
  readonly breakers: Breakers;
  /** What the nodes' KV caches hold. */
  readonly locality = new Locality();
  #dueAt: number;
  #stopTicking: () => void;
  claimsClamped = 0;

  constructor(clock: Clock, tell: Tell<FleetEvent>, random: () => number = Math.random) {
    this.#clock = clock;
    this.#tell = tell;
    this.#missing = new Missing(clock);
    const onChange = () => this.#changed();
    this.#canaries = new Canaries({ random, tell, onChange });
    this.breakers = new Breakers({
      clock,
      random,
      tell,
      onPermit: onChange,
      servers: (model) => this.#servers(model),
      onStall: (node, model) => {
        const link = this.#links.get(node);
        if (link) this.#canaries.stalled(link, model, clock.now());
      },
    });
    this.#dueAt = clock.now() + CHECK_INTERVAL_MS;
    this.#stopTicking = clock.every(CHECK_INTERVAL_MS, () => this.#tick());
  }

  /** Calls back after anything that may let a waiting request through. Returns the unsubscribe. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get links(): readonly NodeLink[] {
    return [...this.#links.values()];
  }

  get(nodeId: string): NodeLink | undefined {
    return this.#links.get(nodeId);
  }

  /**
   * Takes a node in. A greater epoch fences the process that held the id.
   * @throws Fault FENCED when a newer one is there already
   */
  join(link: NodeLink, dismiss: (old: NodeLink, fault: Fault) => void): void {
    const present = this.#links.get(link.id);
    const fenced = present && this.#fence(present, link);
    // The newcomer stands in the old one's place before anybody hears of it, so that nobody sees the node missing.
    this.#links.set(link.id, link);
    if (present && fenced) {
      this.#left(present, 'fenced');
      dismiss(present, fenced);
    }
    this.#tell({ type: 'node_joined', node: link.id, epoch: link.hello.epoch, models: [] });
    this.breakers.joined(link.id, link.hello.epoch);
    const damped = this.#damping.joined(link.id, this.#clock.now());
    if (damped) this.#tell({ type: 'node_damped', node: link.id, ...damped });
  }

  /** @returns what the present one is sent away with. @throws Fault when the newcomer is the older */
  #fence(present: NodeLink, link: NodeLink): Fault {
    const [newest, older] = present.hello.epoch > link.hello.epoch ? [present, link] : [link, present];
    this.#tell({ type: 'node_fenced', node: link.id, epoch: older.hello.epoch, newestEpoch: newest.hello.epoch });
    const fault = new Fault('FENCED', `a newer process with the node id ${link.id} is attached`, { facts: { node: link.id } });
    if (older === link) throw fault;
    return fault;
  }

  leave(link: NodeLink, reason: Leaving): void {
    if (this.#links.get(link.id) !== link) return;
    this.#links.delete(link.id);
    this.#left(link, reason);
    this.#changed();
  }

  #left(link: NodeLink, reason: Leaving): void {
    this.#missing.left(link.id, link.models);
    this.locality.left(link.id);
    this.#canaries.left(link);
    this.breakers.left(link.id);
    this.#damping.left(link.id, this.#clock.now());
    this.#tell({ type: 'node_left', node: link.id, reason, lost: link.attempts });
  }

  inventory(link: NodeLink, models: readonly ServedModel[]): void {
    link.models = models.map((claimed) => {
      const { value, claims } = clampModel(claimed);
      this.#clamped(link, claims);
      return value;
    });
    this.locality.serves(link.id, link.models);
    if (models.length > 0) this.#missing.back(link.id);
    this.#tell({ type: 'models_changed', node: link.id, models: link.models.map(({ name }) => name) });
    // Until its first report it can let nobody through, and those who wait for it are not to be refused for that.
    if (link.report) this.#changed();
  }

  report(link: NodeLink, claimed: Report): void {
    const { value, claims } = clampReport(claimed, link.models);
    this.#clamped(link, claims);
    const before = link.state;
    this.#heard(link);
    link.report = value;
    link.loads = value.loads;
    for (const cached of value.cachedPrefixes) this.locality.report(link.id, cached);
    if (value.state === NodeState.NODE_STATE_SERVING) link.hasServed = true;
    if (value.state === NodeState.NODE_STATE_DRAINING && before !== NodeState.NODE_STATE_DRAINING) {
      this.#tell({ type: 'node_draining', node: link.id });
    }
    this.#changed();
  }

  /** A claim that repeats with every report is counted each time and told once. */
  readonly #toldClaims = new WeakMap<NodeLink, Set<string>>();

  #clamped(link: NodeLink, claims: readonly Claim[]): void {
    if (claims.length === 0) return;
    this.claimsClamped += claims.length;
    const told = this.#toldClaims.get(link) ?? new Set();
    this.#toldClaims.set(link, told);
    for (const claim of claims) {
      if (told.has(claim.field)) continue;
      told.add(claim.field);
      this.#tell({ type: 'claim_clamped', node: link.id, ...claim });
    }
  }

  #heard(link: NodeLink): void {
    const now = this.#clock.now();
    if (link.lease === 'suspect') this.#tell({ type: 'node_recovered', node: link.id, silentMs: now - link.lastReportAt });
    link.lastReportAt = now;
    link.lease = 'held';
  }

  /** Called with each link that is to be closed because its lease ran out or the router ends. */
  onDismissed: (link: NodeLink, fault: Fault) => void = () => {};

  #tick(): void {
    const now = this.#clock.now();
    const forgiven = forgiveness(now, this.#dueAt);
    this.#dueAt = now + CHECK_INTERVAL_MS;
    for (const link of this.links) {
      this.#checkLease(link, now, forgiven);
      if (this.#links.get(link.id) === link) this.#canaries.look(link, now, forgiven);
    }
    if (this.#damping.released(now)) this.#changed();
  }

  #checkLease(link: NodeLink, now: number, forgiven: number): void {
    link.lastReportAt += forgiven;
    const lease = leaseAt(now, link.lastReportAt);
    if (lease === link.lease) return;
    link.lease = lease;
    const silentMs = now - link.lastReportAt;
    if (lease === 'suspect') {
      this.#tell({ type: 'node_suspect', node: link.id, silentMs });
      this.#changed();
    } else if (lease === 'expired') {
      this.leave(link, 'expired');
      this.onDismissed(link, new Fault('NODE_LOST', `silent for ${Math.round(silentMs)} ms`));
    }
  }

  /**
   * Every (model, node) pair as it is now, those of nodes that have just left among them.
   * @param waitingFor how many requests wait for a model
   */
  candidates(waitingFor: (model: string) => number = () => 0): Candidate[] {
    const all: Candidate[] = this.#missing.all().map(({ node, model }) => missingCandidate(node, model));
    const mayHold = remembering((model) => this.#mayHold(model));
    const hasTrusted = remembering((model) => this.breakers.hasTrusted(model));
    for (const link of this.#links.values()) {
      for (const model of link.models) {
        const waiting = this.#share(model.name, waitingFor(model.name));
        all.push(candidateOf(link, model, waiting, this.#standing(link, model.name, mayHold, hasTrusted)));
      }
    }
    return all;
  }

  #standing(link: NodeLink, model: string, mayHold: OfModel, hasTrusted: OfModel): Standing {
    const barred = this.breakers.barred(link.id, model, hasTrusted);
    if (link.wedged.has(model)) return { trouble: 'wedged', barred };
    const held = this.#damping.holds(link.id, this.#clock.now()) && mayHold(model);
    return { trouble: held ? 'flapping' : undefined, barred };
  }

  /** Who could be given work for a model now, were it not for breakers. */
  *#servers(model: string): Iterable<string> {
    const now = this.#clock.now();
    const mayHold = this.#damping.holdsAny(now) && this.#mayHold(model);
    for (const link of this.#links.values()) {
      if (serves(link, model) && !(mayHold && this.#damping.holds(link.id, now))) yield link.id;
    }
  }

  /**
   * While most of a model's nodes come and go none is held out for that: the few others could not take it all, and it is
   * hardly the nodes that are to blame.
   */
  #mayHold(model: string): boolean {
    const now = this.#clock.now();
    let serving = 0;
    let held = 0;
    for (const link of this.#links.values()) {
      if (!serves(link, model)) continue;
      serving++;
      if (this.#damping.holds(link.id, now)) held++;
    }
    return held <= serving / 2;
  }

  /** Of those who wait for a model, as many as each of its nodes will get. */
  #share(model: string, waiting: number): number {
    if (waiting === 0) return 0;
    const nodes = this.links.filter(({ models }) => models.some(({ name }) => name === model)).length;
    return Math.ceil(waiting / nodes);
  }

  /** Takes a slot of a node that is here, until disposed, which frees it once however often it is called. */
  claim(nodeId: string, work: Work): Claimed {
    const link = this.#links.get(nodeId);
    if (!link) throw new Error(`no node ${nodeId}`);
    const { model } = work;
    this.#canaries.claimed(link, model);
    const promise = this.breakers.promise(nodeId, model);
    const reservation = link.reservations.take(work);
    const isHere = () => this.#links.get(nodeId) === link;
    return {
      link,
      delivered: (tokens) => {
        reservation.delivered(tokens);
        if (!isHere()) return;
        this.#canaries.gave(link, model, this.#clock.now());
        this.breakers.gave(nodeId, model);
      },
      [Symbol.dispose]: () => {
        promise[Symbol.dispose]();
        if (!reservation.free()) return;
        if (isHere()) this.#canaries.freed(link, model, this.#clock.now());
        this.#changed();
      },
    };
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Sends every node away; they come back to a router that is started again here. */
  stop(): void {
    this.#stopTicking();
    this.breakers.stop();
    for (const link of this.links) this.onDismissed(link, new Fault('DRAINING', 'the router is shutting down'));
  }
}

type OfModel = (model: string) => boolean;

/** Asks once for each model. */
function remembering(ask: OfModel): OfModel {
  const known = new Map<string, boolean>();
  return (model) => {
    const answer = known.get(model) ?? ask(model);
    known.set(model, answer);
    return answer;
  };
}

/** Says that it serves the model, and is believed. */
function serves(link: NodeLink, model: string): boolean {
  return link.state === NodeState.NODE_STATE_SERVING && !link.wedged.has(model) && link.models.some(({ name }) => name === model);
}

/** A slot on a node, until the engine has stopped working for it. */
export interface Claimed extends Disposable {
  readonly link: NodeLink;
  /** So many tokens of the answer have come. */
  delivered(tokens: number): void;
}
