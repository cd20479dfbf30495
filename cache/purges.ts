/**
 * What was purged, so that every router that shares the store forgets it: a list under one name, sealed, which each looks
 * at every second and no request waits for.
 *
 * A router that makes a purge sweeps the store at once, puts the purge on the list until it sees it there, and sweeps
 * again when all routers know of it: what was on its way at the first sweep is gone after the second. A purge that Redis
 * was not there for is made when it is.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';
import type { SecretKeyring } from './keyring.ts';
import type { Key, Store } from './port.ts';
import { MAX_TTL_MS } from './sealed-value.ts';

/** Until every router that is well has looked at the list, and what it was writing is written. */
const SWEEP_AGAIN_MS = 3000;
/** Behind the second sweep, nothing of what it swept can be read any more. */
const FORGET_AGAIN_MS = 5000;
const LOCK_MS = 1000;
/** Beyond, one purge of everything takes their place. */
const MOST_PURGES = 64;

interface Purge {
  readonly id: string;
  /** Milliseconds since 1970, by the clock of the router that made it. */
  readonly at: number;
  readonly prefixes: readonly string[];
}

export interface PurgesParts {
  readonly store: Store;
  readonly keys: Pick<SecretKeyring, 'ofMesh'>;
  readonly clock: Pick<Clock, 'after' | 'wall'>;
  /** All of them. */
  readonly everything: readonly string[];
  /** In this process. @returns how many there were */
  readonly forget: (prefixes: readonly string[]) => number;
}

export class Purges {
  readonly #parts: PurgesParts;
  readonly #list: Key;
  readonly #lock: string;
  readonly #owner = randomUUID();
  readonly #timers = new Set<() => void>();
  #seen = new Set<string>();
  /** Made here, and not yet seen on the list. */
  #own: Purge[] = [];
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor(parts: PurgesParts) {
    this.#parts = parts;
    this.#list = parts.keys.ofMesh('purges');
    this.#lock = parts.keys.ofMesh('purges lock').name;
  }

  /** @returns how many there were in this process, and in the store */
  async purge(prefixes: readonly string[]): Promise<{ readonly memory: number; readonly redis: number }> {
    const memory = this.#parts.forget(prefixes);
    const purge = { id: randomUUID(), at: this.#parts.clock.wall(), prefixes };
    this.#seen.add(purge.id);
    this.#own = bounded([...this.#own, purge], this.#parts.everything);
    const redis = await this.#sweep(prefixes);
    await this.look();
    return { memory, redis };
  }

  /** Learns what others purged, and tells what was purged here. One at a time. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#timers) cancel();
  }

  async #look(): Promise<void> {
    const list = await this.#read();
    if (!list) return;
    const unseen = list.filter(({ id }) => !this.#seen.has(id));
    for (const { prefixes } of unseen) this.#forgetTwice(prefixes);
    const published = new Set(list.map(({ id }) => id));
    const old = this.#parts.clock.wall() - MAX_TTL_MS;
    this.#own = this.#own.filter(({ id, at }) => !published.has(id) && at > old);
    if (list.length > 0) this.#seen = new Set([...published, ...this.#own.map(({ id }) => id)]);
    if (this.#own.length > 0) await this.#publish(list);
  }

  async #publish(list: readonly Purge[]): Promise<void> {
    const { store, clock, everything } = this.#parts;
    if ((await store.take(this.#lock, this.#owner, LOCK_MS)) !== 'taken') return;
    const own = this.#own;
    // Whoever had the lock before may have written since the list was read.
    const now = await this.#read();
    if (!now) return;
    const others = [...new Map([...list, ...now].map((purge) => [purge.id, purge])).values()];
    const recent = others.filter(({ at }) => at > clock.wall() - MAX_TTL_MS);
    const sealed = this.#list.seal(Buffer.from(JSON.stringify(bounded([...recent, ...own], everything))));
    const isPublished = await store.set(this.#list.name, sealed, MAX_TTL_MS);
    await store.giveUp(this.#lock, this.#owner);
    if (!isPublished) return;
    for (const { prefixes } of own) {
      this.#after(SWEEP_AGAIN_MS, () => void this.#sweep(prefixes));
      this.#after(FORGET_AGAIN_MS, () => this.#parts.forget(prefixes));
    }
  }

  #forgetTwice(prefixes: readonly string[]): void {
    this.#parts.forget(prefixes);
    this.#after(FORGET_AGAIN_MS, () => this.#parts.forget(prefixes));
  }

  async #sweep(prefixes: readonly string[]): Promise<number> {
    const counts = await Promise.all(prefixes.map((prefix) => this.#parts.store.purge(prefix)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** What nobody of this mesh wrote is no list. Undefined: nobody can say. */
  async #read(): Promise<readonly Purge[] | undefined> {
    const sealed = await this.#parts.store.get(this.#list.name);
    if (sealed === 'unknown') return undefined;
    const opened = sealed && this.#list.open(sealed);
    if (sealed && !opened) await this.#parts.store.delete([this.#list.name]);
    return opened ? (JSON.parse(opened.toString()) as Purge[]) : [];
  }

  #after(ms: number, run: () => void): void {
    if (this.#closed) return;
    const cancel = this.#parts.clock.after(ms, () => {
      this.#timers.delete(cancel);
      run();
    });
    this.#timers.add(cancel);
  }
}

function bounded(purges: readonly Purge[], everything: readonly string[]): Purge[] {
  const last = purges.at(-1);
  return purges.length <= MOST_PURGES || !last ? [...purges] : [{ ...last, id: randomUUID(), prefixes: everything }];
}
