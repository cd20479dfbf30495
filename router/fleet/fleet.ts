/**
 * The nodes that are attached to this router: who they are, whether they are to be trusted, what they have room for.
 * The nodes are the registry of record; what is here is gone with the router and whole again once they have dialled.
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Report } from '../../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import type { Breakers } from '../breakers/breakers.ts';
import type { Clock } from '../clock.ts';
import type { Candidate } from '../select/candidate.ts';
import { candidateOf, missingCandidate } from './candidates.ts';
import type { Claim } from './claims.ts';
import { clampModel, clampReport } from './claims.ts';
import { Health } from './health.ts';
import { CHECK_INTERVAL_MS, forgiveness, leaseAt } from './lease.ts';
import { Locality } from './locality.ts';
import { Missing } from './missing.ts';
import type { NodeLink } from './node-link.ts';
import { OnDemand } from './on-demand.ts';
import type { Work } from './reservations.ts';

export type Leaving = Extract<FleetEvent, { type: 'node_left' }>['reason'];

export class Fleet {
  readonly #links = new Map<string, NodeLink>();
  readonly #clock: Clock;
  readonly #tell: Tell<FleetEvent>;
  readonly #listeners = new Set<() => void>();
  readonly #missing: Missing;
  readonly #health: Health;
  /** Models that are loaded when requests wait for them. */
  readonly onDemand: OnDemand;
  /** What the nodes' KV caches hold. */
  readonly locality = new Locality();
  #dueAt: number;
  #stopTicking: () => void;
  claimsClamped = 0;

  constructor(clock: Clock, tell: Tell<FleetEvent>, random: () => number = Math.random) {
    this.#clock = clock;
    this.#tell = tell;
    this.#missing = new Missing(clock);
    this.#health = new Health({ clock, random, tell, links: this.#links, onChange: () => this.#changed() });
    this.onDemand = new OnDemand({ clock, tell, links: this.#links, onChange: () => this.#changed() });
    this.#dueAt = clock.now() + CHECK_INTERVAL_MS;
    this.#stopTicking = clock.every(CHECK_INTERVAL_MS, () => this.#tick());
  }

  /** Calls back after anything that may let a waiting request through. Returns the unsubscribe. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What attempts on the nodes came to, and who is given none for that. */
  get breakers(): Breakers {
    return this.#health.breakers;
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
    this.#health.joined(link);
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
    this.#health.left(link);
    this.#tell({ type: 'node_left', node: link.id, reason, lost: link.attempts });
    this.onLeft(link.id);
  }

  /** Called with the id of each node that left: whoever takes it next is another process. */
  onLeft: (node: string) => void = () => {};

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
    this.heard(link);
    link.report = value;
    for (const cached of value.cachedPrefixes) this.locality.report(link.id, cached);
    this.onDemand.reported(link);
    for (const { name } of link.models) if (link.claimsToServe(name)) link.served.add(name);
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

  /**
   * It said something. Tokens show as well as a report that it lives: under a flood of them its reports come late, and
   * taking it for lost would lose what it is sending.
   */
  heard(link: NodeLink): void {
    const now = this.#clock.now();
    const silentMs = now - link.lastHeardAt;
    link.lastHeardAt = now;
    if (link.lease !== 'suspect') return;
    link.lease = 'held';
    this.#tell({ type: 'node_recovered', node: link.id, silentMs });
    this.#changed();
  }

  /** Called with each link that is to be closed because its lease ran out or the router ends. */
  onDismissed: (link: NodeLink, fault: Fault) => void = () => {};

  #tick(): void {
    const now = this.#clock.now();
    const forgiven = forgiveness(now, this.#dueAt);
    this.#dueAt = now + CHECK_INTERVAL_MS;
    for (const link of this.links) this.#checkLease(link, now, forgiven);
    this.#health.look(now, forgiven);
  }

  #checkLease(link: NodeLink, now: number, forgiven: number): void {
    link.lastHeardAt += forgiven;
    const lease = leaseAt(now, link.lastHeardAt);
    if (lease === link.lease) return;
    link.lease = lease;
    const silentMs = now - link.lastHeardAt;
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
    const standing = this.#health.standings();
    for (const link of this.#links.values()) {
      for (const model of link.models) {
        const waiting = this.#share(model.name, waitingFor(model.name));
        const cold = this.onDemand.coldOf(link, model);
        all.push(candidateOf(link, model, waiting, { ...standing(link, model.name), cold }));
      }
    }
    return all;
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
    const attendance = this.#health.attend(link, work.model);
    const reservation = link.reservations.take(work);
    return {
      link,
      delivered: (tokens) => {
        attendance.gave();
        // Who shows that it works may be given more.
        if (reservation.delivered(tokens)) this.#changed();
      },
      rests: (ms) => attendance.rests(ms),
      [Symbol.dispose]: () => {
        if (!reservation.free()) return;
        attendance[Symbol.dispose]();
        this.#changed();
      },
    };
  }

  /** Whether another node could take over what a model answers on this one. */
  hasOther(node: string, model: string): boolean {
    return this.#health.hasOther(node, model);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Sends every node away; they come back to a router that is started again here. */
  stop(): void {
    this.#stopTicking();
    this.#health.stop();
    for (const link of this.links) this.onDismissed(link, new Fault('DRAINING', 'the router is shutting down'));
  }
}

/** A slot on a node, until the engine has stopped working for it. */
export interface Claimed extends Disposable {
  readonly link: NodeLink;
  /** So many tokens of the answer have come. */
  delivered(tokens: number): void;
  /** Its engine wants to be left alone for so long, in milliseconds. */
  rests(ms: number): void;
}
