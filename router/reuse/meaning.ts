/**
 * Answers to other prompts that mean the same: the prompt is made a vector of, its tenant's near ones are looked for, and
 * what agrees with it in everything that can be read off is taken. A share of what is taken is generated as well, and
 * compared. See cache/semantic/.
 */
import type { Keyring } from '../../cache/port.ts';
import type { Asked, SemanticCache, SemanticHit } from '../../cache/semantic/index.ts';
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Classifier } from '../classify/classification.ts';
import type { EmbeddingModel } from '../fleet/embedder.ts';
import type { Arrived } from '../request.ts';
import type { Vectors } from '../vectors.ts';
import type { Search } from './search.ts';
import { textOf } from './wording.ts';

/** A request is not held up for longer to learn what its prompt means. */
const EMBED_LIMIT_MS = 500;

export interface MeaningParts {
  readonly keys: Keyring;
  readonly classifier: Pick<Classifier, 'classify'>;
  readonly vectors: Pick<Vectors, 'model' | 'of'>;
  /** Opened with the first request that wants it. */
  readonly open: () => Promise<SemanticCache>;
}

/** A prompt that can be compared, to be remembered with its answer. */
export interface Meant {
  readonly asked: Asked;
  readonly vector: Float32Array;
}

export interface Similar extends Meant {
  readonly hit: SemanticHit;
  readonly answer: CachedAnswer;
}

export class Meaning {
  readonly #parts: MeaningParts;
  #semantic: Promise<SemanticCache> | undefined;

  constructor(parts: MeaningParts) {
    this.#parts = parts;
  }

  /** Undefined until a request wanted it. */
  get opened(): Promise<SemanticCache> | undefined {
    return this.#semantic;
  }

  get model(): EmbeddingModel | undefined {
    return this.#parts.vectors.model;
  }

  /** @returns what to remember it by, and the answer to a like one if there is one; undefined where it can't be compared */
  async find(request: Arrived, search: Search, traceparent: string): Promise<Meant | Similar | undefined> {
    const semantic = await this.#open();
    const { model } = this;
    const asked = model && this.#asked(semantic, request, search, model);
    const vector = asked && (await this.#vector(asked, request, model, traceparent));
    if (!asked || !vector) return undefined;
    const { hit } = await semantic.find(asked, vector, request.policy.cache);
    const answer = hit && (await search.referred(hit.reference));
    if (hit && !answer) void semantic.forget(asked, hit);
    return hit && answer ? { asked, vector, hit, answer } : { asked, vector };
  }

  /** Its answer is in the cache. */
  async remember({ asked, vector }: Meant, reference: Uint8Array, ttlMs: number): Promise<void> {
    await (await this.#open()).add(asked, vector, reference, ttlMs);
  }

  /** Not to be waited for. @param generate the text of a fresh answer; undefined where there can be none now */
  async check({ asked, hit, answer }: Similar, { policy }: Arrived, generate: () => Promise<string | undefined>): Promise<void> {
    await (await this.#open()).check(asked, hit, textOf(answer.deltas), policy.cache, generate);
  }

  async close(): Promise<void> {
    await (await this.#semantic)?.[Symbol.asyncDispose]();
  }

  #open(): Promise<SemanticCache> {
    this.#semantic ??= this.#parts.open();
    return this.#semantic;
  }

  #asked(semantic: SemanticCache, { chat, tenant }: Arrived, { scope }: Search, model: EmbeddingModel): Asked | undefined {
    const { classifier, keys } = this.#parts;
    const prompt = chat.messages.findLast(({ role }) => role === Role.ROLE_USER);
    if (!scope || !prompt) return undefined;
    const { language } = classifier.classify({ messages: chat.messages, jsonSchema: chat.jsonSchema });
    return semantic.ask({ tenant, keys: keys.of(tenant), scope, text: prompt.text, language, model });
  }

  /** Undefined where nobody can make it in time: the request goes on without. */
  async #vector(
    { text }: Asked,
    { tenant }: Arrived,
    model: EmbeddingModel,
    traceparent: string,
  ): Promise<Float32Array | undefined> {
    try {
      const made = await this.#parts.vectors.of([text], { tenant, deadlineMs: EMBED_LIMIT_MS, traceparent });
      // Nodes may have come and gone since the prompt was looked at.
      return made.model.name === model.name && made.model.digest === model.digest ? made.vectors[0] : undefined;
    } catch {
      return undefined;
    }
  }
}
