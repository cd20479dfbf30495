/**
 * What many routers have contributed to something they share, each for itself. Pure.
 *
 *   replica = what one router has contributed since it was started: parts by name, each with a version
 *
 * Only its own router ever changes a replica, and each change has the next version; so of two copies the newer one is
 * right, and hearing of one twice, late, or in another order comes to the same (a state-based CRDT). What is shared is the
 * sum over all replicas, which counts nothing twice however often Redis, a router or the way between them is gone.
 *
 * A router that starts begins a replica of its own, and keeps those of its past as it keeps others'. So routers that
 * start from copies of one file share no identity, and one that lost what it wrote last hears of it from the others.
 */
export interface Part {
  readonly version: number;
  readonly body: string;
}

/** Names of a replica's parts with their versions, as of one version of the replica. */
export interface Index {
  readonly version: number;
  readonly parts: ReadonlyMap<string, number>;
}

export interface Replica {
  readonly id: string;
  /** All parts are as of this version, or newer; 0: nothing is known yet. */
  readonly version: number;
  readonly parts: ReadonlyMap<string, Part>;
}

/** That routers follow, dead and alive. */
export const MOST_REPLICAS = 64;
/** Beside those, as many of this router's past. */
const MOST_KEPT = 2 * MOST_REPLICAS;
/** Of one replica. */
export const MOST_PARTS = 2048;
export const MOST_PART_BYTES = 128 << 10;
const MOST_REPLICA_BYTES = 4 << 20;
const MOST_BYTES = 32 << 20;

export interface ReplicaSetOptions {
  /** Of this router's own replica, which no other ever has. */
  readonly own: Pick<Replica, 'id'> & Partial<Replica>;
  /** A part of another replica is new, has changed, or is gone. */
  readonly onPart: (replica: string, name: string, body: string | undefined) => void;
}

interface Kept {
  readonly id: string;
  version: number;
  readonly parts: Map<string, Part>;
  /** The newest version that an index was seen of. */
  indexed: number;
  bytes: number;
  /** One of this router's past, which nobody else may have. */
  readonly ours: boolean;
}

export class ReplicaSet {
  readonly #options: ReplicaSetOptions;
  readonly #own: Kept;
  /** What changed longest ago stands first. */
  readonly #others = new Map<string, Kept>();
  #bytes = 0;

  constructor(options: ReplicaSetOptions) {
    this.#options = options;
    const { id, version = 0, parts = new Map() } = options.own;
    this.#own = { ...newReplica(id, true), version, parts: new Map(parts) };
  }

  get own(): Replica {
    return this.#own;
  }

  get others(): readonly Replica[] {
    return [...this.#others.values()];
  }

  /** The own one and those of this router's past: what it has to see to that others know of. */
  get ours(): readonly Replica[] {
    return [this.#own, ...[...this.#others.values()].filter(({ ours }) => ours)];
  }

  get(id: string): Replica | undefined {
    return id === this.#own.id ? this.#own : this.#others.get(id);
  }

  /** @param body undefined: there is no such part any more @returns false where it is too large or one too many */
  write(name: string, body: string | undefined): boolean {
    const { parts } = this.#own;
    if (body === undefined) {
      if (parts.delete(name)) this.#own.version++;
      return true;
    }
    if (body.length > MOST_PART_BYTES || (parts.size >= MOST_PARTS && !parts.has(name))) return false;
    if (parts.get(name)?.body === body) return true;
    parts.set(name, { version: ++this.#own.version, body });
    return true;
  }

  /** Takes in a replica of this router's past. */
  remember({ id, version, parts }: Replica): void {
    if (id === this.#own.id || this.#others.has(id)) return;
    this.#others.set(id, newReplica(id, true));
    const index = new Map([...parts].map(([name, part]) => [name, part.version]));
    this.merge(id, { version, parts: index }, parts);
  }

  /** @returns names of the index that are not here in the version it tells */
  missing(id: string, { version, parts }: Index): string[] {
    const known = this.#others.get(id);
    if (known && version < known.indexed) return [];
    return [...parts].flatMap(([name, due]) => ((known?.parts.get(name)?.version ?? 0) < due ? [name] : []));
  }

  /** Takes in what came of another replica; parts that did not come may come later. */
  merge(id: string, index: Index, parts: ReadonlyMap<string, Part>): void {
    if (id === this.#own.id || index.parts.size > MOST_PARTS) return;
    const known = this.#others.get(id) ?? newReplica(id, false);
    if (index.version < known.indexed || index.version === known.version) return;
    known.indexed = index.version;
    this.#others.delete(id);
    this.#others.set(id, known);
    // First what is gone, so that nothing which moved from one part to another is ever counted in both.
    for (const name of known.parts.keys()) if (!index.parts.has(name)) this.#take(known, name, undefined);
    for (const [name, due] of index.parts) {
      const part = parts.get(name);
      if (part && part.version >= due && part.version > (known.parts.get(name)?.version ?? 0)) this.#take(known, name, part);
    }
    const isWhole = [...index.parts].every(([name, due]) => (known.parts.get(name)?.version ?? 0) >= due);
    if (isWhole) known.version = index.version;
    this.#trim();
  }

  #take(replica: Kept, name: string, part: Part | undefined): void {
    const before = replica.parts.get(name)?.body ?? '';
    const room = Math.min(MOST_REPLICA_BYTES - replica.bytes, MOST_BYTES - this.#bytes) + before.length;
    // What there is no room for counts as empty, so that it is not asked for again.
    const body = part && part.body.length <= Math.min(room, MOST_PART_BYTES) ? part.body : '';
    if (part) replica.parts.set(name, { version: part.version, body });
    else replica.parts.delete(name);
    replica.bytes += body.length - before.length;
    this.#bytes += body.length - before.length;
    if (body !== before) this.#options.onPart(replica.id, name, body === '' ? undefined : body);
  }

  #trim(): void {
    for (const { id, ours } of this.#others.values()) {
      if (this.#others.size <= MOST_KEPT) return;
      if (!ours) this.forget(id);
    }
  }

  forget(id: string): void {
    const replica = this.#others.get(id);
    if (!replica) return;
    for (const name of [...replica.parts.keys()]) this.#take(replica, name, undefined);
    this.#others.delete(id);
  }
}

function newReplica(id: string, ours: boolean): Kept {
  return { id, version: 0, parts: new Map(), indexed: 0, bytes: 0, ours };
}
