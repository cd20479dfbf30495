/**
 * Brings replicas and events to the other routers and theirs here, round by round, over a store that may lose anything at
 * any time. One round writes what is new here, then reads what is new elsewhere; it never takes longer than the store's
 * time limits, does a bounded part of what there is to do, and leaves the rest for the next.
 *
 *   roster           the replicas there are
 *   head of each     that its router is alive; its replica's version, the number of its last events
 *   index of each    names and versions of its parts
 *   parts, batches   one value each
 *
 * A part is written before the index that names it, and the index before the head. Where the own head is gone, all may
 * be, and is written again; who can't read what a head promises deletes the head, so that its router writes anew.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Store } from '../port.ts';
import { Outbox } from './outbox.ts';
import type { Peer } from './peers.ts';
import { Peers } from './peers.ts';
import { Publisher } from './publisher.ts';
import type { Index, ReplicaSet } from './replica-set.ts';
import { Roster } from './roster.ts';
import type { Batch, Head, Keys } from './wire.ts';
import { indexOf, Wire } from './wire.ts';

/** In one round. */
const MOST_PARTS_READ = 16;
/** In one round: more than all routers write in that time, and no more than Redis gives in its time. */
const MOST_BATCHES_READ = 128;

/** What is shared by every router of a mesh; whoever opened it closes it. */
export interface Shared {
  readonly store: Pick<Store, 'getAll' | 'set' | 'delete'>;
  readonly keys: Keys;
}

export interface ExchangeOptions extends Shared {
  readonly replicas: ReplicaSet;
  /** What this router is called in others' logs; no other ever has it. */
  readonly router: string;
  /** In ms, monotonic. */
  readonly now: () => number;
  /** @param at what the clock of the router that wrote them shows now, in ms */
  readonly onEvents: (events: readonly unknown[], at: number) => void;
  readonly onSeen: (router: string) => void;
  readonly onGone: (router: string) => void;
}

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #wire: Wire;
  readonly #peers: Peers;
  readonly #roster: Roster;
  readonly #publisher: Publisher;
  readonly outbox = new Outbox();
  #round = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#wire = new Wire(options.keys);
    this.#peers = new Peers(options);
    this.#roster = new Roster(options.replicas, this.#peers);
    this.#publisher = new Publisher({ ...options, wire: this.#wire, outbox: this.outbox });
  }

  /** Other routers that are there. */
  get peers(): number {
    return this.#peers.alive;
  }

  /** Values that were none of ours. */
  get rejected(): number {
    return this.#wire.rejected;
  }

  /** @param last this router ends @returns whether the store took what there was to write */
  async round(last = false): Promise<boolean> {
    const { store, replicas } = this.#options;
    const own = replicas.own.id;
    for (const { id } of replicas.ours) if (id !== own) this.#peers.add(id);
    const due = this.#peers.due(this.#round++);
    const names = [this.#wire.roster.name(''), ...[own, ...due].map((id) => this.#wire.head.name(id))];
    const [listed, ownHead, ...heads] = await store.getAll(names);
    // What can't be read is not gone, and need not be written anew.
    if (listed === 'unknown') return false;
    const read = new Map(due.map((id, i) => [id, this.#wire.head.read(id, heads[i])]));
    if (!(await this.#publisher.publish(read, ownHead !== undefined, last))) return false;
    const roster = this.#wire.roster.read('', listed) ?? [];
    const next = this.#roster.next(roster, last);
    if (next) await store.set(...this.#wire.roster.write('', next), this.#publisher.ttlMs);
    for (const id of this.#roster.follow(roster)) this.#peers.add(id);
    for (const [id, head] of read) {
      const peer = this.#peers.get(id);
      if (peer) this.#peers.saw(peer, head, this.#options.now());
    }
    if (!last) await this.#catchUp(due.flatMap((id) => this.#peers.get(id) ?? []));
    return true;
  }

  async #catchUp(peers: readonly Peer[]): Promise<void> {
    const { store, replicas } = this.#options;
    const behind = peers.filter(({ id, head }) => head && head.version > (replicas.get(id)?.version ?? 0));
    const unread = peers.flatMap((peer) => this.#peers.unread(peer).map((batch) => ({ peer, batch })));
    const batches = unread.slice(0, MOST_BATCHES_READ);
    if (behind.length + batches.length === 0) return;
    const names = [
      ...behind.map(({ id }) => this.#wire.index.name(id)),
      ...batches.map(({ peer, batch }) => this.#wire.batch.name(batchOf(peer.head, batch))),
    ];
    const values = await store.getAll(names);
    const came = batches.flatMap(({ peer, batch }, i) => {
      const read = this.#wire.batch.read(batchOf(peer.head, batch), values[behind.length + i]);
      return read ? [{ peer, read }] : [];
    });
    for (const peer of new Set(batches.map(({ peer: of }) => of))) {
      const asked = batches.flatMap((one) => (one.peer === peer ? [one.batch] : []));
      const theirs = came.flatMap((one) => (one.peer === peer ? [one.read] : []));
      this.#tell(peer, asked, theirs);
    }
    const indexes = behind.flatMap((peer, i) => {
      if (values[i] === 'unknown') return [];
      const index = this.#wire.index.read(peer.id, values[i]);
      return [{ peer, index: index && indexOf(index) }];
    });
    await this.#readParts(indexes);
  }

  #tell(peer: Peer, asked: readonly number[], batches: readonly Batch[]): void {
    const at = this.#peers.clockOf(peer, this.#options.now());
    this.#peers.readUpTo(
      peer,
      asked,
      batches.map(({ batch }) => batch),
    );
    for (const { events } of batches) this.#options.onEvents(events, at);
  }

  async #readParts(indexes: readonly { readonly peer: Peer; readonly index: Index | undefined }[]): Promise<void> {
    const { store, replicas } = this.#options;
    // First what is gone, of all.
    for (const { peer, index } of indexes) if (index) replicas.merge(peer.id, index, new Map());
    const wanted = indexes
      .flatMap(({ peer: { id }, index }) => (index ? replicas.missing(id, index).map((name) => ({ id, name, index })) : []))
      .slice(0, MOST_PARTS_READ);
    const names = wanted.map(({ id, name }) => this.#wire.part.name(`${id} ${name}`));
    const values = names.length > 0 ? await store.getAll(names) : [];
    const lacking = new Set<string>();
    for (const [i, { id, name, index }] of wanted.entries()) {
      const part = this.#wire.part.read(`${id} ${name}`, values[i]);
      if (part && part.version >= (index.parts.get(name) ?? 0)) replicas.merge(id, index, new Map([[name, part]]));
      else if (values[i] !== 'unknown') lacking.add(id);
      // A large part takes milliseconds, and tokens are not to wait for many.
      await turn();
    }
    for (const { peer, index } of indexes) {
      if (this.#peers.isBroken(peer, !index || lacking.has(peer.id))) await store.delete([this.#wire.head.name(peer.id)]);
    }
  }
}

function batchOf(head: Head | undefined, batch: number): string {
  return `${head?.router} ${batch}`;
}
