/** Writes this router's own replica, those of its past where nobody has them, and its events. */
import type { Store } from '../port.ts';
import type { Outbox } from './outbox.ts';
import type { Replica, ReplicaSet } from './replica-set.ts';
import type { Head, Wire } from './wire.ts';
import { listOf } from './wire.ts';

const DAY_MS = 86_400_000;
/** What nobody has changed for so long has faded. */
const TTL_MS = 30 * DAY_MS;
/** Long before that, all is written anew. */
const RENEW_MS = DAY_MS;
/** Events are news. */
const BATCH_TTL_MS = 60_000;
/** In one round, of all replicas. */
const MOST_PARTS_WRITTEN = 16;

export interface PublisherOptions {
  readonly store: Pick<Store, 'set'>;
  readonly wire: Wire;
  readonly replicas: ReplicaSet;
  readonly outbox: Outbox;
  readonly router: string;
  readonly now: () => number;
}

/** What the store has of a replica, as far as is known here. */
interface Stored {
  version: number;
  readonly parts: Map<string, number>;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #stored = new Map<string, Stored>();
  #renewedAt: number;
  readonly ttlMs = TTL_MS;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#renewedAt = options.now();
  }

  /**
   * @param heads of other replicas, as they are in the store @param hasOwn whether the own one's is there
   * @param ended this router leaves @returns false when the store does not take it
   */
  async publish(heads: ReadonlyMap<string, Head | undefined>, hasOwn: boolean, ended: boolean): Promise<boolean> {
    const { replicas, now } = this.#options;
    const { own } = replicas;
    if (!hasOwn) this.#stored.delete(own.id);
    if (now() - this.#renewedAt >= RENEW_MS) {
      this.#stored.clear();
      this.#renewedAt = now();
    }
    if (!(await this.#writeBatch())) return false;
    let room = MOST_PARTS_WRITTEN;
    for (const replica of replicas.ours) {
      const isOwn = replica === own;
      if (!isOwn && !this.#lacks(replica, heads)) continue;
      const written = await this.#writeReplica(replica, ended ? Number.POSITIVE_INFINITY : room);
      if (written === undefined) return false;
      room = Math.max(0, room - written);
      if (!isOwn && this.#versionOf(replica) > 0 && !(await this.#writeHead(replica, true))) return false;
    }
    return this.#writeHead(own, ended);
  }

  /** Nobody has it, or only what is older. */
  #lacks({ id, version }: Replica, heads: ReadonlyMap<string, Head | undefined>): boolean {
    if (!heads.has(id)) return false;
    const head = heads.get(id);
    if (!head) this.#stored.delete(id);
    return (head?.version ?? 0) < version;
  }

  async #writeBatch(): Promise<boolean> {
    const { store, wire, outbox, router } = this.#options;
    const batch = outbox.next();
    if (!batch) return true;
    if (!(await store.set(...wire.batch.write(`${router} ${batch.batch}`, batch), BATCH_TTL_MS))) return false;
    outbox.wrote();
    return true;
  }

  /** Its parts, and when all of them are there its index. @returns how many; undefined where they are not taken */
  async #writeReplica(replica: Replica, room: number): Promise<number | undefined> {
    const { store, wire } = this.#options;
    const stored = this.#stored.get(replica.id) ?? { version: 0, parts: new Map() };
    this.#stored.set(replica.id, stored);
    if (stored.version === replica.version) return 0;
    const { id, version } = replica;
    const parts = listOf(replica.parts);
    const due = parts.filter(([name, newest]) => stored.parts.get(name) !== newest);
    const now = due.slice(0, room).flatMap(([name, newest]) => {
      const part = replica.parts.get(name);
      return part ? [{ name, newest, write: () => store.set(...wire.part.write(`${id} ${name}`, part), TTL_MS) }] : [];
    });
    const taken = await Promise.all(now.map(({ write }) => write()));
    for (const [i, { name, newest }] of now.entries()) if (taken[i]) stored.parts.set(name, newest);
    if (taken.includes(false)) return undefined;
    if (now.length < due.length) return now.length;
    if (!(await store.set(...wire.index.write(id, { version, parts }), TTL_MS))) return undefined;
    stored.version = version;
    return now.length;
  }

  #writeHead(replica: Replica, ended: boolean): Promise<boolean> {
    const { store, wire, outbox, router, now, replicas } = this.#options;
    const batch = replica === replicas.own ? outbox.sent : 0;
    const head = { router, version: this.#versionOf(replica), at: now(), batch, ended };
    return store.set(...wire.head.write(replica.id, head), TTL_MS);
  }

  #versionOf({ id }: Replica): number {
    return this.#stored.get(id)?.version ?? 0;
  }
}
