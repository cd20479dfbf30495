/**
 * Which node's KV cache holds how much of a conversation: what nodes report, and what this router presumes of answers
 * that have just ended, as nodes report only once a second and some never. A presumption lasts until the node's next
 * list, or until the engine's own count shows that it was wrong.
 *
 * All is kept by hash, so that looking up a conversation costs as much as it has prefixes, however many nodes there are.
 */
import type { Prefix } from '../../proto/contract/prefix.ts';
import type { CachedPrefixes, ServedModel, Usage } from '../../proto/gen/infermesh/v1/types.ts';

/** As in classify/size.ts. */
const BYTES_PER_TOKEN = 4;
/** Of one model on one node. */
const MOST_PRESUMED = 256;
/** Fewer tokens than these prove nothing about a cache. */
const TELLING_TOKENS = 64;
/** An engine that had nothing so often in a row keeps nothing between requests, and is no more presumed of. */
const MISSES = 2;

/** What one model on one node holds. */
class Holder {
  reported: ReadonlySet<number> = new Set();
  /** Conversations served since the last report, by their last hash; the oldest first. */
  readonly presumed = new Map<number, readonly number[]>();
  misses = 0;
}

export class Locality {
  readonly #nodes = new Map<string, Map<string, Holder>>();
  /** Who holds a prefix, and for how many reasons: its report, and conversations presumed. */
  readonly #holders = new Map<number, Map<Holder, number>>();
  #version = 0;
  /** Called with what is presumed of an answer that ended here. */
  onPresumed: (node: string, model: string, prefixes: readonly Prefix[]) => void = () => {};

  /** Prefixes known, over all nodes. */
  get size(): number {
    return this.#holders.size;
  }

  /** The node's full list for a model. */
  report(node: string, { model, hashes }: CachedPrefixes): void {
    const holder = this.#holder(node, model);
    this.#forgetPresumed(holder);
    const now = new Set(hashes);
    for (const hash of holder.reported) if (!now.has(hash)) this.#drop(hash, holder);
    for (const hash of now) if (!holder.reported.has(hash)) this.#add(hash, holder);
    holder.reported = now;
  }

  /** The node is gone, and its caches with it. */
  left(node: string): void {
    for (const holder of this.#nodes.get(node)?.values() ?? []) this.#empty(holder);
    this.#nodes.delete(node);
  }

  /** What the node still serves; what it held of other models is forgotten. */
  serves(node: string, models: readonly Pick<ServedModel, 'name'>[]): void {
    const names = new Set(models.map(({ name }) => name));
    const holders = this.#nodes.get(node);
    for (const [model, holder] of holders ?? []) {
      if (names.has(model)) continue;
      this.#empty(holder);
      holders?.delete(model);
    }
  }

  /** An answer has ended: its prompt is presumed there, unless the engine's count of cached tokens speaks against it. */
  served(node: string, model: Pick<ServedModel, 'name' | 'slots'>, prefixes: readonly Prefix[], usage?: Usage): void {
    if (prefixes.length === 0) return;
    if (usage) this.#judge(this.#holder(node, model.name), prefixes, usage);
    if (this.presume(node, model, prefixes)) this.onPresumed(node, model.name, prefixes);
  }

  /**
   * An answer has ended there, here or by another router.
   * @returns false for an engine that keeps nothing
   */
  presume(node: string, { name, slots }: Pick<ServedModel, 'name' | 'slots'>, prefixes: readonly Prefix[]): boolean {
    const last = prefixes.at(-1);
    if (!last) return false;
    const holder = this.#holder(node, name);
    // The conversation goes on from here; what was presumed of it before is part of this.
    const hashes = prefixes.map(({ hash }) => hash);
    for (const hash of hashes) this.#unpresume(hash, holder);
    if (holder.misses >= MISSES) return false;
    holder.presumed.set(last.hash, hashes);
    for (const hash of hashes) this.#add(hash, holder);
    const most = Math.min(MOST_PRESUMED, Math.max(1, slots));
    for (const oldest of holder.presumed.keys()) {
      if (holder.presumed.size <= most) break;
      this.#unpresume(oldest, holder);
    }
    return true;
  }

  /** @returns tokens of the conversation that a model on a node has read already; an estimate, 0 when unknown */
  lookup(prefixes: readonly Prefix[]): (node: string, model: string) => number {
    let version = -1;
    let bytes = new Map<Holder, number>();
    return (node, model) => {
      const holder = this.#nodes.get(node)?.get(model);
      if (!holder) return 0;
      if (version !== this.#version) {
        version = this.#version;
        bytes = this.#longest(prefixes);
      }
      return Math.floor((bytes.get(holder) ?? 0) / BYTES_PER_TOKEN);
    };
  }

  /** Of everybody who holds some of it, in bytes. */
  #longest(prefixes: readonly Prefix[]): Map<Holder, number> {
    const longest = new Map<Holder, number>();
    for (const { hash, bytes } of prefixes) {
      for (const holder of this.#holders.get(hash)?.keys() ?? []) longest.set(holder, bytes);
    }
    return longest;
  }

  #judge(holder: Holder, prefixes: readonly Prefix[], { cachedInputTokens }: Usage): void {
    const expected = (this.#longest(prefixes).get(holder) ?? 0) / BYTES_PER_TOKEN;
    if (cachedInputTokens > 0) holder.misses = 0;
    else if (expected >= TELLING_TOKENS) {
      holder.misses++;
      this.#forgetPresumed(holder);
    }
  }

  #holder(node: string, model: string): Holder {
    const models = this.#nodes.get(node) ?? new Map<string, Holder>();
    this.#nodes.set(node, models);
    const holder = models.get(model) ?? new Holder();
    models.set(model, holder);
    return holder;
  }

  #add(hash: number, holder: Holder): void {
    const holders = this.#holders.get(hash) ?? new Map<Holder, number>();
    this.#holders.set(hash, holders);
    holders.set(holder, (holders.get(holder) ?? 0) + 1);
    this.#version++;
  }

  #drop(hash: number, holder: Holder): void {
    const holders = this.#holders.get(hash);
    const reasons = holders?.get(holder);
    if (!holders || reasons === undefined) return;
    if (reasons > 1) holders.set(holder, reasons - 1);
    else holders.delete(holder);
    if (holders.size === 0) this.#holders.delete(hash);
    this.#version++;
  }

  #unpresume(last: number, holder: Holder): void {
    const hashes = holder.presumed.get(last);
    if (!hashes) return;
    holder.presumed.delete(last);
    for (const hash of hashes) this.#drop(hash, holder);
  }

  #forgetPresumed(holder: Holder): void {
    for (const last of [...holder.presumed.keys()]) this.#unpresume(last, holder);
  }

  #empty(holder: Holder): void {
    this.#forgetPresumed(holder);
    for (const hash of holder.reported) this.#drop(hash, holder);
    holder.reported = new Set();
  }
}
