/** What the cache has for one request, and what it is to have. */
import { hash } from 'node:crypto';
import { answerContent, canonicalChat, choiceContent, modelContent, openContent, scopeContent } from '../../cache/canonical.ts';
import type { Cache, Hit, Key, TenantKeys } from '../../cache/port.ts';
import type { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import { CachedModel } from '../../proto/gen/infermesh/v1/cache.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Clock } from '../clock.ts';
import type { Arrived } from '../request.ts';
import type { Policy } from '../select/policy.ts';
import { allows } from '../select/policy.ts';
import type { Meant } from './meaning.ts';
import type { KnownModels } from './models.ts';
import { identityOf } from './models.ts';
import type { Permit } from './permit.ts';
import { WaitBudget } from './wait-budget.ts';

export interface SearchParts {
  readonly cache: Cache;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

export class Search {
  readonly permit: Permit;
  /** For what is asked of Redis. */
  readonly budget: WaitBudget;
  /** What its prompt means, where that was asked. */
  meant: Meant | undefined;
  readonly #request: Arrived;
  readonly #cache: Cache;
  readonly #models: KnownModels;
  readonly #keys: TenantKeys;
  readonly #canonical: Uint8Array;
  /** Made when it is asked for: what a request that names its model finds in the cache needs none. */
  #madeChoice: Key | undefined;
  /** What may answer, where the request names it; undefined where the choice is left to the router. */
  readonly #named: readonly CachedModel[] | undefined;
  /** Of their answers. */
  readonly #namedKeys: readonly Key[] | undefined;

  constructor(request: Arrived, permit: Permit, { cache, clock }: SearchParts, models: KnownModels) {
    const { chat, target, tenant, policy } = request;
    this.permit = permit;
    this.budget = new WaitBudget(clock);
    this.#request = request;
    this.#cache = cache;
    this.#models = models;
    this.#keys = cache.keys.of(tenant);
    this.#canonical = canonicalChat(chat);
    if (target.type === 'model') this.#named = allows(policy, target.name) ? models.of(target.name) : [];
    this.#namedKeys = this.#named?.map((model) => this.#answerKey(model));
  }

  /** Of all that the choice of its model depends on. */
  get #choice(): Key {
    const { target, policy } = this.#request;
    this.#madeChoice ??= this.#keys.key('choices', choiceContent(this.#canonical, target, wishes(policy)));
    return this.#madeChoice;
  }

  /** Shared by all requests that may have one answer, whoever of them it is generated for. */
  get name(): string {
    const { semantic } = this.permit;
    const { withoutExploration } = this.#request.chat;
    return `${this.#choice.name}${semantic ? ' semantic' : ''}${withoutExploration ? ' best' : ''}`;
  }

  /** Of whoever generates its answer. */
  get lease(): Key {
    return this.#keys.key('leases', Buffer.from(this.name));
  }

  /** In the memory of this process. */
  peek(): Hit<CachedAnswer> | undefined {
    for (const key of this.#namedKeys ?? this.#current(this.#cache.choices.peek(this.#choice))) {
      const hit = this.#cache.answers.peek(key);
      if (hit) return hit;
    }
    return undefined;
  }

  /** Also where other routers put it. */
  async find(): Promise<Hit<CachedAnswer> | undefined> {
    for (const key of this.#namedKeys ?? this.#current(await this.#cache.choices.find(this.#choice))) {
      const hit = await this.#cache.answers.find(key);
      if (hit) return hit;
    }
    return undefined;
  }

  /** @param isChoice whether the next one who leaves the choice to the router may have this model's answer */
  keep(answer: CachedAnswer, model: ServedModel, isChoice: boolean): void {
    const { ttlMs } = this.permit;
    const identity = identityOf(model);
    this.#cache.answers.put(this.#answerKey(identity), answer, ttlMs);
    if (!this.#named && isChoice) this.#cache.choices.put(this.#choice, identity, ttlMs);
  }

  /** A model whose weights are not what they were has other answers. */
  #current(choice: Hit<CachedModel> | undefined): readonly Key[] {
    return choice && this.#models.has(choice.value) ? [this.#answerKey(choice.value)] : [];
  }

  #answerKey(model: CachedModel): Key {
    return this.#keys.key('answers', this.#digest(model));
  }

  #digest(model: CachedModel): Buffer {
    return hash('sha256', answerContent(this.#canonical, model), 'buffer');
  }

  // For requests that differ in the text of the prompt alone

  /** What they have in common; undefined where nothing may answer. */
  get scope(): Uint8Array | undefined {
    const { chat, target, policy } = this.#request;
    if (!this.#named) return scopeContent(chat, openContent(target, wishes(policy)));
    const [model] = this.#named;
    return model && scopeContent(chat, modelContent(model));
  }

  /** By which one of them finds the answer that this one got. */
  reference(model: ServedModel): Uint8Array {
    const identity = identityOf(model);
    return Buffer.concat([this.#digest(identity), CachedModel.encode(identity).finish()]);
  }

  /** Undefined where there is no such answer any more, or its model is not what it was. */
  async referred(reference: Buffer): Promise<CachedAnswer | undefined> {
    const model = CachedModel.decode(reference.subarray(DIGEST_BYTES));
    if (!this.#models.has(model)) return undefined;
    const key = this.#keys.key('answers', reference.subarray(0, DIGEST_BYTES));
    return (await this.#cache.answers.find(key))?.value;
  }
}

const DIGEST_BYTES = 32;

/** What the choice of a model depends on beside the request itself. */
function wishes({
  preference,
  limits,
  models,
  deny,
  zones,
}: Policy): Pick<Policy, 'preference' | 'limits' | 'models' | 'deny' | 'zones'> {
  return { preference, limits, models, deny, zones };
}
