/**
 * One kind of value: in the memory of this process, then in the store that routers share.
 *
 *   find: memory -> store -> memory again, for what is left of its time
 *   put:  memory at once -> store, behind the request
 */
import type { Clock } from './clock.ts';
import type { Codec } from './codecs.ts';
import { frozen } from './codecs.ts';
import { MAX_VALUE_BYTES } from './envelope.ts';
import type { Held } from './held.ts';
import { HeldValues } from './held.ts';
import type { Sealed, SharedStore } from './outgoing.ts';
import { Outgoing } from './outgoing.ts';
import type { Hit, Key, Layer, LayerName, Stored } from './port.ts';
import { MAX_TTL_MS, openValue, sealValue } from './sealed-value.ts';

/** Strings take up to twice the bytes in memory. */
const MAX_HELD_BYTES = 2 * MAX_VALUE_BYTES;

export interface LayerParts<Value> {
  readonly name: LayerName;
  readonly codec: Codec<Value>;
  /** For a put that names none. */
  readonly ttlMs: number;
  /** Bytes of memory, over 0. */
  readonly limit: number;
  /** Undefined: memory is all there is. */
  readonly shared?: SharedStore | undefined;
  /** How long memory is believed without asking the store, where others replace and delete values; absent: always. */
  readonly believedMs?: number | undefined;
  readonly clock: Pick<Clock, 'now' | 'wall'>;
}

/** Since the start. */
export interface LayerCounts {
  hitsMemory: number;
  hitsRedis: number;
  misses: number;
  writes: number;
  tooLarge: number;
  rejected: number;
}

/** One that is held, for a snapshot. */
export interface Sealable {
  readonly name: string;
  readonly hits: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Undefined: too large. */
  readonly seal: () => Buffer | undefined;
}

type Open<Value> = Extract<Held<Value>, { state: 'open' }>;
type Found<Value> = Promise<Hit<Value> | undefined>;

export class CacheLayer<Value> implements Layer<Value> {
  readonly name: LayerName;
  readonly counts: LayerCounts = { hitsMemory: 0, hitsRedis: 0, misses: 0, writes: 0, tooLarge: 0, rejected: 0 };
  readonly held: HeldValues<Value>;
  /** Grows whenever what is held may have become something else. */
  changes = 0;
  readonly #parts: LayerParts<Value>;
  readonly #outgoing: Outgoing | undefined;
  /** What the store is being asked for. Who puts, deletes or purges takes its place, so that no older value comes back. */
  readonly #asked = new Map<string, Found<Value>>();
  /** As they stand in the last snapshot: most of the next one is the same. */
  readonly #snapshotted = new WeakMap<Held<Value>, Buffer>();

  constructor(parts: LayerParts<Value>) {
    this.name = parts.name;
    this.#parts = parts;
    this.held = new HeldValues(parts.limit, parts.clock);
    this.#outgoing = parts.shared && new Outgoing(parts.shared, parts.believedMs !== undefined);
  }

  peek(key: Key): Hit<Value> | undefined {
    const held = this.held.get(key.name);
    if (!held) return undefined;
    const opened = held.state === 'open' ? held : this.#opened(key, held.sealed, held.hits);
    return opened && this.#isBelieved(opened) ? this.#hit(opened) : undefined;
  }

  async find(key: Key): Found<Value> {
    const [found] = await this.findAll([key]);
    return found;
  }

  findAll(keys: readonly Key[]): Promise<(Hit<Value> | undefined)[]> {
    const found = keys.map((key) => this.peek(key) ?? this.#asked.get(key.name));
    const missing = keys.filter((_key, index) => found[index] === undefined);
    const asked = this.#ask(missing);
    return Promise.all(
      keys.map(async (key, index) => {
        const hit = await (found[index] ?? asked.get(key.name));
        if (!hit) this.counts.misses++;
        else if (hit.from === 'redis') this.counts.hitsRedis++;
        return hit;
      }),
    );
  }

  put(key: Key, value: Value, ttlMs = this.#parts.ttlMs): void {
    const { codec, clock } = this.#parts;
    const bytes = codec.sizeOf(value);
    this.changes++;
    this.#asked.delete(key.name);
    const ttl = Math.min(ttlMs, MAX_TTL_MS);
    const expiresAt = clock.wall() + ttl;
    const held: Open<Value> = { state: 'open', key, value: frozen(value), expiresAt, knownAt: clock.now(), hits: 0 };
    if (bytes > MAX_HELD_BYTES || !this.held.set(key.name, held, bytes)) {
      this.counts.tooLarge++;
      // What was there before holds no more, wherever it lies.
      void this.delete(key);
      return;
    }
    const written = () => {
      this.counts.writes++;
    };
    if (!this.#outgoing) return written();
    this.#outgoing.write({ name: key.name, bytes, ttlMs: ttl, value: () => this.#sealed(held) }, written);
  }

  async delete(key: Key): Promise<boolean> {
    this.changes++;
    this.#asked.delete(key.name);
    const wasHeld = this.held.delete(key.name);
    const stored = (await this.#outgoing?.delete(key.name)) ?? 0;
    return wasHeld || stored > 0;
  }

  /** Tells the store again what it did not hear of. */
  async settle(): Promise<void> {
    await this.#outgoing?.settle((name) => this.#sealedOf(name));
  }

  /** In memory, and what is on its way to the store. @returns how many there were in memory */
  purge(prefix: string): number {
    this.changes++;
    for (const name of this.#asked.keys()) if (name.startsWith(prefix)) this.#asked.delete(name);
    this.#outgoing?.forgetAll(prefix);
    return this.held.purge(prefix);
  }

  /** @param share of the memory that it was given, over 0 to 1; what does not fit in goes, what was used longest ago first */
  resize(share: number): void {
    this.held.resize(Math.floor(this.#parts.limit * share));
  }

  /** One of a snapshot; opened when somebody asks for it. */
  restore(name: string, sealed: Buffer, expiresAt: number, hits: number): void {
    // A copy: a slice would keep all of the file.
    this.held.set(name, { state: 'sealed', sealed: Buffer.from(sealed), expiresAt, hits }, sealed.length);
  }

  /** For a snapshot, the most recently used first. */
  recent(most: number): Sealable[] {
    const all: Sealable[] = [];
    for (const [name, held] of this.held.entries()) {
      if (all.length === most) break;
      const { hits, expiresAt } = held;
      all.push({ name, hits, expiresAt, seal: () => this.#snapshotOf(held) });
    }
    return all;
  }

  /** One call of the store for all of them. */
  #ask(keys: readonly Key[]): ReadonlyMap<string, Found<Value>> {
    const byName = new Map(keys.flatMap((key) => (this.#outgoing?.isUnsettled(key.name) ? [] : [[key.name, key]])));
    const { shared } = this.#parts;
    if (!shared || byName.size === 0) return new Map();
    const values = shared.store.getAll([...byName.keys()]);
    const asked = new Map<string, Found<Value>>();
    for (const [index, [name, key]] of [...byName].entries()) {
      const found: Found<Value> = values.then((all) => this.#arrived(key, all[index], () => this.#asked.get(name) === found));
      this.#asked.set(name, found);
      asked.set(name, found);
      void found.finally(() => this.#asked.get(name) === found && this.#asked.delete(name));
    }
    return asked;
  }

  #arrived(key: Key, stored: Stored, isCurrent: () => boolean): Hit<Value> | undefined {
    // Whatever was put or deleted meanwhile is what holds.
    if (!isCurrent()) return this.peek(key);
    if (stored === 'unknown') return this.#unanswered(key);
    const opened = stored && this.#opened(key, stored, 0);
    if (opened) return { value: opened.value, from: 'redis' };
    // What memory has, another router has deleted.
    this.held.delete(key.name);
    return undefined;
  }

  /** Memory is believed for as long as nobody can say. */
  #unanswered(key: Key): Hit<Value> | undefined {
    const held = this.held.get(key.name);
    return held?.state === 'open' ? this.#hit(held) : undefined;
  }

  #hit(held: Open<Value>): Hit<Value> {
    held.hits++;
    this.counts.hitsMemory++;
    return { value: held.value, from: 'memory' };
  }

  #isBelieved({ key, knownAt }: Open<Value>): boolean {
    const { believedMs = Number.POSITIVE_INFINITY, clock } = this.#parts;
    return !this.#outgoing || clock.now() - knownAt < believedMs || this.#outgoing.isUnsettled(key.name);
  }

  #sealedOf(name: string): Sealed | undefined {
    const held = this.held.get(name);
    const sealed = held?.state === 'open' ? this.#sealed(held) : undefined;
    return held && sealed && { sealed, ttlMs: held.expiresAt - this.#parts.clock.wall() };
  }

  /** Into memory; what is not ours is deleted wherever it lies. */
  #opened(key: Key, sealed: Buffer, hits: number) {
    const { codec, clock } = this.#parts;
    const read = openValue(key, sealed, codec);
    const left = read ? read.expiresAt - clock.wall() : 0;
    if (!read || left <= 0) {
      if (!read) this.#reject(key);
      else this.held.delete(key.name);
      return undefined;
    }
    const expiresAt = clock.wall() + Math.min(left, MAX_TTL_MS);
    const held: Open<Value> = { state: 'open', key, value: frozen(read.value), expiresAt, knownAt: clock.now(), hits };
    this.held.set(key.name, held, codec.sizeOf(read.value));
    return held;
  }

  #reject(key: Key): void {
    this.counts.rejected++;
    this.held.delete(key.name);
    void this.#parts.shared?.store.delete([key.name]);
  }

  #snapshotOf(held: Held<Value>): Buffer | undefined {
    if (held.state === 'sealed') return held.sealed;
    const sealed = this.#snapshotted.get(held) ?? this.#sealed(held);
    if (sealed) this.#snapshotted.set(held, sealed);
    return sealed;
  }

  #sealed(held: Open<Value>): Buffer | undefined {
    const sealed = sealValue(held.key, held, this.#parts.codec);
    if (!sealed) this.counts.tooLarge++;
    return sealed;
  }
}
