/**
 * What the routers of a mesh share through their store: what they learn of models, what tenants spend, where sessions are
 * served, what KV caches are presumed to hold, and breakers that open. Each router works alone, and better with the
 * others: no request ever waits for anything here. One timer brings what is new to the others and theirs here; a round
 * that takes long is followed by a later one, never by a second beside it.
 */
import type { Shared } from '../../cache/shared/exchange.ts';
import { Exchange } from '../../cache/shared/exchange.ts';
import type { Prefix } from '../../proto/contract/prefix.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import { WINDOW_MS } from '../breakers/breaker.ts';
import type { Clock } from '../clock.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Place, Sessions } from '../fleet/sessions.ts';
import { SESSION_IDLE_MS } from '../fleet/sessions.ts';
import type { Quotas } from '../trust/quotas.ts';
import type { Learned } from './learned.ts';
import type { News } from './news.ts';
import { readNews } from './news.ts';
import { Spending } from './spending.ts';

/** Between the end of a round and the next, half of it more or less: what a quota is exceeded by is spent in this time. */
export const ROUND_MS = 500;
const JITTER = 0.5;
/** Lessons are brought in one round of so many. */
const LEARNED_EVERY = 4;
/** What is presumed of a KV cache is soon known better from its node. */
const PRESUMED_FOR_MS = 5000;
/** Of a conversation's prefixes the longest: who goes on with it begins with all of them. */
const MOST_TOLD_PREFIXES = 8;
/** Tenants whose spending is told in one round. */
const MOST_SPENT = 512;

/** What a router shares of its own. */
export interface OwnShare {
  /** What this router is called in others' logs. */
  readonly router: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly quotas: Pick<Quotas, 'onSpent' | 'spentElsewhere'>;
  readonly sessions: Pick<Sessions, 'digestOf' | 'onServed' | 'heard'>;
  readonly fleet: Pick<Fleet, 'get' | 'locality' | 'breakers'>;
}

export interface ShareOptions extends Shared, OwnShare {
  readonly learned: Learned;
  readonly tell: Tell<FleetEvent>;
}

export interface ShareFigures {
  /** Other routers that are there. */
  readonly routers: number;
  /** That have come to their end. */
  readonly finished: number;
  /** Of these, in which the store took nothing. */
  readonly failed: number;
  /** Values, parts and news that were none of ours, or could not be used. */
  readonly rejected: number;
}

export interface Sharing extends AsyncDisposable {
  figures(): ShareFigures;
}

export function shareThrough(options: ShareOptions): Sharing {
  return new Share(options);
}

class Share implements Sharing {
  readonly #options: ShareOptions;
  readonly #exchange: Exchange;
  readonly #spending = new Spending();
  #rounds = 0;
  #finished = 0;
  #failed = 0;
  #strange = 0;
  #running: Promise<void> | undefined;
  #cancel: () => void = () => {};
  #ended = false;

  constructor(options: ShareOptions) {
    this.#options = options;
    const { store, keys, learned, router, clock, tell } = options;
    this.#exchange = new Exchange({
      store,
      keys,
      replicas: learned.replicas,
      router,
      now: () => clock.now(),
      onEvents: (events, at) => this.#hear(events, at),
      onSeen: (other) => tell({ type: 'router_seen', router: other }),
      onGone: (other) => tell({ type: 'router_gone', router: other }),
    });
    this.#listen();
    this.#schedule();
  }

  #listen(): void {
    this.#exchange.outbox.more = () => this.#spending.take(MOST_SPENT);
    const { keys, quotas, sessions, fleet } = this.#options;
    sessions.digestOf = (session) => keys.ofMesh(`session ${session}`).name;
    sessions.onServed = (session, place) => this.#tell({ kind: 'session', at: this.#now(), session, ...place });
    quotas.onSpent = (tenant, spent) => this.#spending.add(tenant, spent, this.#now());
    fleet.breakers.onOpened = (node, model, openMs) =>
      this.#tell({ kind: 'opened', at: this.#now(), node, ...(model === undefined ? {} : { model }), openMs });
    fleet.locality.onPresumed = (node, model, prefixes) =>
      this.#tell({ kind: 'presumed', at: this.#now(), node, model, prefixes: prefixes.slice(-MOST_TOLD_PREFIXES).map(plain) });
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #tell(news: News): void {
    this.#exchange.outbox.add([news]);
  }

  #schedule(): void {
    if (this.#ended) return;
    const { clock, random } = this.#options;
    this.#cancel = clock.after(ROUND_MS * (1 - JITTER / 2 + JITTER * random()), () => {
      this.#running = this.#safeRound().then(() => this.#schedule());
    });
  }

  /** Whatever goes wrong here, the router goes on without. */
  async #safeRound(last = false): Promise<void> {
    try {
      await this.#round(last);
    } catch {
      this.#failed++;
    }
    this.#finished++;
  }

  async #round(last = false): Promise<void> {
    const { learned } = this.#options;
    if (last) learned.collect(Number.POSITIVE_INFINITY);
    else if (this.#rounds % LEARNED_EVERY === 0) learned.collect();
    this.#rounds++;
    if (!(await this.#exchange.round(last))) this.#failed++;
  }

  #hear(events: readonly unknown[], at: number): void {
    for (const event of events) {
      const news = readNews(event);
      if (news) this.#heed(news, Math.max(0, at - news.at));
      else this.#strange++;
    }
  }

  #heed(news: News, agoMs: number): void {
    const { quotas, sessions, fleet } = this.#options;
    switch (news.kind) {
      case 'session':
        if (agoMs < SESSION_IDLE_MS) sessions.heard(news.session, placeOf(news), agoMs);
        return;
      case 'spent':
        return quotas.spentElsewhere(news.tenant, news, agoMs);
      case 'opened':
        return fleet.breakers.warned(news.node, news.model, Math.max(news.openMs, WINDOW_MS) - agoMs);
      case 'presumed': {
        const model = fleet.get(news.node)?.models.find(({ name }) => name === news.model);
        if (model && agoMs < PRESUMED_FOR_MS) fleet.locality.presume(news.node, model, news.prefixes);
      }
    }
  }

  figures(): ShareFigures {
    const rejected = this.#exchange.rejected + this.#options.learned.unusable + this.#strange;
    return { routers: this.#exchange.peers, finished: this.#finished, failed: this.#failed, rejected };
  }

  /** Tells the others what they don't know yet, and that this router leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancel();
    await this.#running;
    await this.#safeRound(true);
  }
}

const plain = ({ hash, bytes }: Prefix) => ({ hash, bytes });
const placeOf = ({ node, model }: Place): Place => ({ node, model });
