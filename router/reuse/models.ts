/**
 * What each model's name stands for now: an answer may be given again only while the weights and whatever renders their
 * prompts are what they were. Of a model that no node serves any more it stays what it was last, for as long as answers
 * are kept, so that they outlive its nodes.
 */
import type { CachedModel } from '../../proto/gen/infermesh/v1/cache.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Clock } from '../clock.ts';

const REMEMBERED_MS = 24 * 3_600_000;
const MOST_REMEMBERED = 1024;

export interface ModelsParts {
  readonly fleet: {
    readonly links: readonly { readonly models: readonly ServedModel[] }[];
    onChange(listener: () => void): () => void;
  };
  readonly clock: Pick<Clock, 'now'>;
}

/** The engine and its version stand for the template: they render it from what the weights' file says. */
export function identityOf({ name, digest, engine, engineVersion }: ServedModel): CachedModel {
  return { name, digest, engine, engineVersion };
}

export class KnownModels {
  readonly #parts: ModelsParts;
  readonly #known = new Map<string, { readonly identities: readonly CachedModel[]; readonly at: number }>();
  #isStale = true;

  constructor(parts: ModelsParts) {
    this.#parts = parts;
    parts.fleet.onChange(() => {
      this.#isStale = true;
    });
  }

  /** More than one while nodes are moved from one version to the next. */
  of(name: string): readonly CachedModel[] {
    this.#look();
    const known = this.#known.get(name);
    return known && this.#parts.clock.now() - known.at < REMEMBERED_MS ? known.identities : [];
  }

  has(model: CachedModel): boolean {
    return this.of(model.name).some((one) => isSame(one, model));
  }

  #look(): void {
    if (!this.#isStale) return;
    this.#isStale = false;
    const served = new Map<string, CachedModel[]>();
    for (const { models } of this.#parts.fleet.links) {
      for (const model of models) {
        const identities = served.get(model.name) ?? [];
        const identity = identityOf(model);
        if (!identities.some((one) => isSame(one, identity))) identities.push(identity);
        served.set(model.name, identities);
      }
    }
    const at = this.#parts.clock.now();
    for (const [name, identities] of served) {
      this.#known.delete(name);
      this.#known.set(name, { identities, at });
    }
    for (const name of this.#known.keys()) {
      if (this.#known.size <= MOST_REMEMBERED) break;
      this.#known.delete(name);
    }
  }
}

function isSame(a: CachedModel, b: CachedModel): boolean {
  return a.name === b.name && a.digest === b.digest && a.engine === b.engine && a.engineVersion === b.engineVersion;
}
