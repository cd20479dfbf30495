/** What one router has not been told yet of the KV caches of a node's models. Pure. */
import type { CachedPrefixes as Told } from '../proto/gen/infermesh/v1/types.ts';
import type { CachedPrefixes } from './prefixes.ts';

/** A model, with the cache of the engine that takes its work; absent while none does. */
export interface Cached {
  readonly name: string;
  readonly prefixes: CachedPrefixes | undefined;
}

export class PrefixNews {
  readonly #told = new Map<string, { readonly prefixes: CachedPrefixes; readonly version: number }>();

  /** The lists that have changed since the last call; an engine that was replaced took its cache along. */
  since(models: readonly Cached[]): Told[] {
    return models.flatMap(({ name, prefixes }) => {
      const told = this.#told.get(name);
      if (!prefixes) return this.#forget(name);
      const { version, hashes } = prefixes;
      if (told ? told.prefixes === prefixes && told.version === version : version === 0) return [];
      this.#told.set(name, { prefixes, version });
      return [{ model: name, hashes: [...hashes] }];
    });
  }

  #forget(name: string): Told[] {
    return this.#told.delete(name) ? [{ model: name, hashes: [] }] : [];
  }
}
