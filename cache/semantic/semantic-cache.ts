/**
 * Answers to prompts that mean the same. What is found is where an answer lies, never the answer: that stays in the
 * answers' layer, under its own name and seal.
 *
 *   asked = ask(...)           what of the prompt is compared; undefined where it must not be
 *   vector of asked.text       made by whoever has an embedding model
 *   find(asked, vector)        the nearest prompts of the same place -> near enough -> the same facts -> a hit
 *   add(asked, vector, ...)    when its own answer has been cached
 *   check(asked, hit, ...)     now and then: is a fresh answer the same?
 */
import type { Clock } from '../clock.ts';
import type { TenantKeys } from '../port.ts';
import type { Disagreement, Sketch } from './agree.ts';
import { disagreement, sketchOf } from './agree.ts';
import { decoded, encoded } from './entry.ts';
import { factsOf } from './facts.ts';
import { embeddable, normalised } from './normalise.ts';
import type { IndexKind, Neighbour, SemanticIndex } from './port.ts';
import { saysTheSame } from './same-answer.ts';
import type { EmbeddingModel, Place, TenantSecrets } from './secrets.ts';
import { Secrets } from './secrets.ts';
import { dot, isUnit } from './vectors.ts';
import { Watch } from './watch.ts';

/** Looked at for one prompt. */
const NEIGHBOURS = 8;
const MOST_REFERENCE_BYTES = 1024;

export interface SemanticPolicy {
  /** From which on two prompts may mean the same, 0 to 1. */
  readonly similarity: number;
  /** Share of hits that are also generated anew, 0 to 1. */
  readonly checkShare: number;
  /** Share of hits that may be false, over 0, below 1. */
  readonly falseHits: number;
}

export interface Prompt {
  /** Undefined: the one without a name. */
  readonly tenant: string | undefined;
  readonly keys: TenantKeys;
  /** All of the request but the prompt's text, and what model may answer; compared byte for byte. */
  readonly scope: Uint8Array;
  readonly text: string;
  /** ISO 639-1, or und. */
  readonly language: string;
  readonly model: EmbeddingModel;
}

/** A prompt that may be compared. */
export interface Asked {
  /** What to make the vector of. */
  readonly text: string;
  readonly tenant: string;
  readonly language: string;
  readonly place: Place;
  readonly secrets: TenantSecrets;
  readonly sketch: Sketch;
}

export interface SemanticHit {
  /** What add was given with the answer. */
  readonly reference: Buffer;
  /** Of the two prompts, 0 to 1. */
  readonly similarity: number;
  readonly id: string;
}

export interface SemanticFind {
  readonly hit: SemanticHit | undefined;
  /** What the nearest prompt that was near enough did not agree in, where there is no hit. */
  readonly guarded: Disagreement | undefined;
}

/** For telemetry. */
export type SemanticEvent =
  | { readonly type: 'semantic_checked'; readonly tenant: string; readonly same: boolean }
  | { readonly type: 'semantic_stopped'; readonly tenant: string; readonly checked: number; readonly falseHits: number };

export interface SemanticCounts {
  readonly index: IndexKind;
  readonly entries: number;
  readonly hits: number;
  readonly guarded: number;
  readonly checked: number;
  readonly falseHits: number;
  /** Upper end of the 95 % interval of the share of false hits. */
  readonly falseHitRateUpper: number;
  /** Tenants for whom the alarm went off. */
  readonly stopped: number;
}

export interface SemanticParts {
  readonly index: SemanticIndex;
  readonly clock: Pick<Clock, 'wall'>;
  readonly random: () => number;
  readonly tell: (event: SemanticEvent) => void;
}

const NOTHING: SemanticFind = { hit: undefined, guarded: undefined };

export class SemanticCache implements AsyncDisposable {
  readonly #parts: SemanticParts;
  readonly #secrets = new Secrets();
  readonly #watch: Watch;
  #hits = 0;
  #guarded = 0;

  constructor(parts: SemanticParts) {
    this.#parts = parts;
    this.#watch = new Watch(parts.random);
  }

  /** Undefined: too long, laid out in lines, without matter, or the tenant's hits were too often false. */
  ask({ tenant = '', keys, scope, text, language, model }: Prompt): Asked | undefined {
    if (this.#watch.isStopped(tenant)) return undefined;
    const bare = normalised(text);
    const facts = bare === undefined ? undefined : factsOf(bare, language);
    if (bare === undefined || !facts) return undefined;
    const secrets = this.#secrets.of(keys);
    const sketch = sketchOf(facts, (word) => secrets.mac(word));
    return { text: embeddable(bare), tenant, language, place: secrets.place(scope, model), secrets, sketch };
  }

  /** @param vector of asked.text, of length 1 */
  async find(asked: Asked, vector: Float32Array, { similarity }: Pick<SemanticPolicy, 'similarity'>): Promise<SemanticFind> {
    const { place, secrets } = asked;
    if (this.#watch.isStopped(asked.tenant) || !fits(place, vector)) return NOTHING;
    const neighbours = await this.#parts.index.nearest(place, secrets.hidden(vector), NEIGHBOURS);
    const near = neighbours
      .flatMap((neighbour) => this.#opened(place, neighbour, vector))
      .filter((one) => one.similarity >= similarity)
      .sort((a, b) => b.similarity - a.similarity);
    for (const { id, reference, sketch, similarity } of near) {
      if (disagreement(asked.sketch, sketch) !== undefined) continue;
      this.#hits++;
      return { hit: { id, reference, similarity: Math.min(similarity, 1) }, guarded: undefined };
    }
    if (near[0] === undefined) return NOTHING;
    this.#guarded++;
    return { hit: undefined, guarded: disagreement(asked.sketch, near[0].sketch) };
  }

  /** What is sealed counts, not what the index says of it. */
  #opened(place: Place, { id, sealed }: Neighbour, vector: Float32Array) {
    const opened = place.key.open(sealed);
    const remembered = opened && decoded(opened);
    if (!remembered) {
      void this.#parts.index.remove(place, id);
      return [];
    }
    const { reference, sketch, vector: other, expiresAt } = remembered;
    if (expiresAt <= this.#parts.clock.wall() || other.length !== vector.length) return [];
    return [{ id, reference, sketch, similarity: dot(vector, other) }];
  }

  /** @param reference by which the caller finds the answer again; 1 to 1,024 bytes, the same for the same answer */
  async add(asked: Asked, vector: Float32Array, reference: Uint8Array, ttlMs: number): Promise<void> {
    const { place, secrets, sketch } = asked;
    if (!fits(place, vector) || reference.length === 0 || reference.length > MOST_REFERENCE_BYTES) return;
    const expiresAt = this.#parts.clock.wall() + ttlMs;
    const sealed = place.key.seal(encoded({ reference: Buffer.from(reference), sketch, vector, expiresAt }));
    await this.#parts.index.add(place, { id: secrets.id(reference), vector: secrets.hidden(vector), sealed, ttlMs });
  }

  /** A hit whose answer is gone, or was wrong. */
  async forget(asked: Asked, { id }: SemanticHit): Promise<void> {
    await this.#parts.index.remove(asked.place, id);
  }

  /**
   * Picks some hits and compares what was given with what would have been. Not to be waited for by a request.
   * @param generate a fresh answer; undefined: there was none, and nothing is counted
   */
  async check(
    asked: Asked,
    hit: SemanticHit,
    reused: string,
    { checkShare, falseHits }: Pick<SemanticPolicy, 'checkShare' | 'falseHits'>,
    generate: () => Promise<string | undefined>,
  ): Promise<void> {
    const { tenant, language } = asked;
    if (!this.#watch.picks(tenant, checkShare)) return;
    const fresh = await generate().catch(() => undefined);
    if (fresh === undefined) return this.#watch.withdraw(tenant);
    const same = saysTheSame(reused, fresh, language);
    this.#parts.tell({ type: 'semantic_checked', tenant, same });
    if (this.#watch.record(tenant, !same, falseHits)) {
      const { checked, falseHits: found } = this.#watch.checks(tenant);
      this.#parts.tell({ type: 'semantic_stopped', tenant, checked, falseHits: found });
    }
    if (!same) await this.forget(asked, hit);
  }

  /** Lifts the alarm. @param tenant undefined: of everybody; empty: of the one without a name */
  lift(tenant?: string): void {
    this.#watch.lift(tenant);
  }

  /** In this process; what is in Redis goes with the store's purge of the same prefix. @returns how many there were */
  purge(prefixes: readonly string[]): number {
    return prefixes.reduce((sum, prefix) => sum + this.#parts.index.purge(prefix), 0);
  }

  async stats(): Promise<SemanticCounts> {
    const { checked, falseHits, upper, stopped } = this.#watch.stats();
    return {
      index: this.#parts.index.kind,
      entries: await this.#parts.index.size(),
      hits: this.#hits,
      guarded: this.#guarded,
      checked,
      falseHits,
      falseHitRateUpper: upper,
      stopped,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.index[Symbol.asyncDispose]();
  }
}

const fits = ({ dimensions }: Place, vector: Float32Array) => vector.length === dimensions && isUnit(vector);
