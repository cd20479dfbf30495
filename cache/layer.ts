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
import type { Hit, Key, Layer, LayerName, Store, Stored } from './port.ts';
import { openValue, sealValue } from './sealed-value.ts';
import { Unsettled } from './unsettled.ts';
import type { Writer } from './writer.ts';

/** The longest that anything is kept, whoever asks for it. */
export const MAX_TTL_MS = 24 * 3_600_000;
/** Strings take up to twice the bytes in memory. */
const MAX_HELD_BYTES = 2 * MAX_VALUE_BYTES;

export interface SharedStore {
  readonly store: Store;
  readonly writer: Writer;
}

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
  /** What the store is being asked for. Who puts, deletes or purges takes its place, so that no older value comes back. */
  readonly #asked = new Map<string, Found<Value>>();
  readonly #unsettled = new Unsettled();
  /** As they stand in the last snapshot: most of the next one is the same. */
  readonly #snapshotted = new WeakMap<Held<Value>, Buffer>();

  constructor(parts: LayerParts<Value>) {
    this.name = parts.name;
    this.#parts = parts;
    this.held = new HeldValues(parts.limit, parts.clock);
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
    const { codec, clock, shared } = this.#parts;
    const bytes = codec.sizeOf(value);
    this.changes++;
    this.#asked.delete(key.name);
    shared?.writer.forget(key.name);
    this.#unsettled.settle(key.name);
    const ttl = Math.min(ttlMs, MAX_TTL_MS);
    const expiresAt = clock.wall() + ttl;
    const held: Held<Value> = { state: 'open', key, value: frozen(value), expiresAt, knownAt: clock.now(), hits: 0 };
    if (bytes > MAX_HELD_BYTES || !this.held.set(key.name, held, bytes)) {
      this.counts.tooLarge++;
      // What was there before holds no more, wherever it lies.
      void this.delete(key);
      return;
    }
    if (!shared) {
      this.counts.writes++;
      return;
    }
    shared.writer.write({
      name: key.name,
      bytes,
      ttlMs: ttl,
      value: () => this.#sealed(key, value, expiresAt),
      onEnd: (isWritten) => {
        if (isWritten) this.counts.writes++;
        else if (this.#isReplaced) this.#unsettled.add(key.name);
      },
    });
  }

  async delete(key: Key): Promise<boolean> {
    this.changes++;
    this.#asked.delete(key.name);
    const wasHeld = this.held.delete(key.name);
    const { shared } = this.#parts;
    if (!shared) return wasHeld;
    shared.writer.forget(key.name);
    const mark = this.#unsettled.add(key.name);
    const stored = await shared.store.delete([key.name]);
    if (stored !== 'unknown') this.#unsettled.settle(key.name, mark);
    return wasHeld || (stored !== 'unknown' && stored > 0);
  }

  /** Tells the store again what it did not hear of. */
  settle(): Promise<void> {
    return this.#unsettled.settleAll((name) => this.#told(name));
  }

  /** In memory, and what is on its way to the store. @returns how many there were in memory */
  purge(prefix: string): number {
    this.changes++;
    for (const name of this.#asked.keys()) if (name.startsWith(prefix)) this.#asked.delete(name);
    this.#parts.shared?.writer.forgetAll(prefix);
    return this.held.purge(prefix);
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
      all.push({ name, hits, expiresAt, seal: () => this.#sealedOf(held) });
    }
    return all;
  }

  /** One call of the store for all of them. */
  #ask(keys: readonly Key[]): ReadonlyMap<string, Found<Value>> {
    const byName = new Map(keys.flatMap((key) => (this.#unsettled.has(key.name) ? [] : [[key.name, key]])));
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

  /** Whether one value is worse than another that took its place. */
  get #isReplaced(): boolean {
    return this.#parts.believedMs !== undefined;
  }

  #isBelieved({ key, knownAt }: Open<Value>): boolean {
    const { shared, believedMs = Number.POSITIVE_INFINITY, clock } = this.#parts;
    return !shared || clock.now() - knownAt < believedMs || this.#unsettled.has(key.name);
  }

  /** What memory has of it, or that there is nothing. @returns whether the store has heard it */
  async #told(name: string): Promise<boolean> {
    const { shared, clock } = this.#parts;
    const held = this.held.get(name);
    const sealed = held?.state === 'open' ? this.#sealed(held.key, held.value, held.expiresAt) : undefined;
    if (held && sealed) return (await shared?.store.set(name, sealed, held.expiresAt - clock.wall())) ?? true;
    return (await shared?.store.delete([name])) !== 'unknown';
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

  #sealedOf(held: Held<Value>): Buffer | undefined {
    if (held.state === 'sealed') return held.sealed;
    const sealed = this.#snapshotted.get(held) ?? this.#sealed(held.key, held.value, held.expiresAt);
    if (sealed) this.#snapshotted.set(held, sealed);
    return sealed;
  }

  #sealed(key: Key, value: Value, expiresAt: number): Buffer | undefined {
    const sealed = sealValue(key, { value, expiresAt }, this.#parts.codec);
    if (!sealed) this.counts.tooLarge++;
    return sealed;
  }
}
