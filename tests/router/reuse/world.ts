/** Requests that reuse answers, with a generator that gives tokens when the test says so. */
import { openCache } from '../../../cache/index.ts';
import type { Cache } from '../../../cache/port.ts';
import type { Fault } from '../../../proto/contract/faults.ts';
import { toFault } from '../../../proto/contract/faults.ts';
import type { CachedAnswer } from '../../../proto/gen/infermesh/v1/cache.ts';
import { ChatRequest, Finished, Started } from '../../../proto/gen/infermesh/v1/inference.ts';
import { FinishReason, Role, ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { ClientStream } from '../../../proto/transport/event-stream.ts';
import { Cut } from '../../../router/cut.ts';
import { onAbort } from '../../../router/on-abort.ts';
import type { Arrived } from '../../../router/request.ts';
import { targetOf } from '../../../router/request.ts';
import type { Meaning } from '../../../router/reuse/meaning.ts';
import type { Generator } from '../../../router/reuse/reuse.ts';
import { Reuse } from '../../../router/reuse/reuse.ts';
import type { Search } from '../../../router/reuse/search.ts';
import type { Policy } from '../../../router/select/policy.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';
import { Tally } from '../../../router/tally.ts';
import { Trip } from '../../../router/trip.ts';
import type { Quota } from '../../../router/trust/quotas.ts';
import { Quotas } from '../../../router/trust/quotas.ts';
import type { RequestEvent } from '../../../telemetry/events.ts';
import { FakeClock } from '../../support/clock.ts';
import { FakeClient, piece } from './fakes.ts';

export const MODEL = ServedModel.fromPartial({ name: 'm', digest: 'sha256:1', engine: 'replay', engineVersion: '1' });
const FINISHED = Finished.fromPartial({ reason: FinishReason.FINISH_REASON_STOP, cost: { usd: 1 } });

/** Lets everything happen that waits for nothing but its turn. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export interface Asking {
  readonly client: FakeClient;
  readonly trip: Trip;
  readonly cut: Cut;
  readonly events: readonly RequestEvent[];
  /** Undefined once it is answered, else why it is not. */
  readonly over: Promise<Fault | undefined>;
}

export interface AskOptions {
  readonly deadlineMs?: number;
  /** Of the request, as the journey makes it of the tenant's and its own wishes. */
  readonly policy?: Partial<Policy>;
}

/** One answer in the making. */
export class Generation {
  readonly request: Arrived;
  readonly trip: Trip;
  readonly search: Search;
  readonly result = Promise.withResolvers<{ readonly isKept: boolean }>();
  readonly #world: ReuseWorld;
  #seq: number;

  constructor(world: ReuseWorld, request: Arrived, trip: Trip, search: Search) {
    this.#world = world;
    this.request = request;
    this.trip = trip;
    this.search = search;
    this.#seq = trip.resumption?.delivered.tokens ?? 0;
    onAbort(trip.ending.signal, (reason) => {
      trip.stream.fail(reason as Fault);
      this.result.reject(reason);
    });
  }

  get isCut(): boolean {
    return this.trip.ending.signal.aborted;
  }

  gives(tokens = 1): void {
    const { trip } = this;
    if (trip.flight) trip.flight.started ??= Started.fromPartial({ requestId: this.request.id, model: 'm' });
    for (let i = 0; i < tokens; i++) {
      const data = piece(this.#seq++);
      trip.kept.take(data);
      trip.stream.write(data);
    }
  }

  finishes(): void {
    const { request, trip, search } = this;
    this.gives();
    const answer = {
      requestId: request.id,
      node: 'n',
      model: 'm',
      tokenizerDigest: 't',
      decision: undefined,
      timings: undefined,
    };
    const { reason, usage, cost } = FINISHED;
    const deltas = Buffer.from(trip.kept.bytes());
    this.#world.reuse.keep(search, { ...answer, deltas, reason, usage, cost, createdAtMs: 0 }, MODEL, true);
    trip.flight?.finished(FINISHED);
    this.result.resolve({ isKept: true });
  }
}

export class ReuseWorld {
  readonly clock: FakeClock;
  readonly tally = new Tally();
  readonly generations: Generation[] = [];
  readonly quotas: Quotas;
  readonly cache: Cache;
  readonly reuse: Reuse<{ readonly isKept: boolean }>;
  readonly #cuts = new Set<Cut>();
  #requests = 0;

  private constructor(cache: Cache, clock: FakeClock, quota: Quota, similar: CachedAnswer | undefined) {
    this.clock = clock;
    this.cache = cache;
    const { tally } = this;
    this.quotas = new Quotas(
      () => clock.now(),
      () => quota,
    );
    const fleet = { links: [{ models: [MODEL] }], onChange: () => () => {} };
    const parts = { cache, clock, tally, fleet, quotas: this.quotas, ledger: { again: () => {} } };
    const meaning = similar && meaningOf(similar);
    this.reuse = new Reuse({ ...parts, meaning, generateUnread: async () => undefined }, this.#generator());
  }

  /** @param similar the answer to a prompt that means the same as any */
  static async open(quota: Quota = {}, similar?: CachedAnswer): Promise<ReuseWorld> {
    const clock = new FakeClock();
    const { cache } = await openCache({ secret: 'a secret of the mesh', memoryBytes: 8 << 20, clock, tell: () => {} });
    return new ReuseWorld(cache, clock, quota, similar);
  }

  /** The one that runs now. */
  get generation(): Generation {
    return this.generations.at(-1) as Generation;
  }

  #generator(): Generator<{ readonly isKept: boolean }> {
    return {
      generate: (request, trip, search) => {
        trip.lease = this.quotas.enter(request.tenant, 10, trip.lease);
        const generation = new Generation(this, request, trip, search);
        this.generations.push(generation);
        return generation.result.promise;
      },
      told: () => {},
      cutFor: (stream) => this.#cutFor(stream),
    };
  }

  #cutFor(stream: ClientStream): Cut {
    const cut = new Cut(stream, this.clock, () => this.#cuts.delete(cut));
    this.#cuts.add(cut);
    return cut;
  }

  /** Asks greedily, as the journey does. */
  ask(chat: Partial<ChatRequest> = {}, { deadlineMs = 1000, policy = {} }: AskOptions = {}): Asking {
    const request = this.#arrive(ChatRequest.fromPartial(chat), deadlineMs, { ...DEFAULT_POLICY, ...policy });
    const client = new FakeClient();
    const cut = this.#cutFor(client);
    const events: RequestEvent[] = [];
    const watch = {
      wantsContent: false,
      tell: (event: RequestEvent) => void events.push(event),
      traceparent: () => '',
      traceId: () => '',
    };
    const trip = new Trip({ chat: request.chat, client, cut, watch, resumption: undefined });
    const search = this.reuse.search(request);
    if (!search) throw new Error('the cache has no part in it');
    cut.at(request.deadlineAt);
    const answer = async () => {
      try {
        await this.reuse.answer(request, trip, search);
        return undefined;
      } catch (thrown) {
        return toFault(thrown);
      } finally {
        trip.lease?.[Symbol.dispose]();
        cut[Symbol.dispose]();
      }
    };
    return { client, trip, cut, events, over: answer() };
  }

  #arrive(chat: ChatRequest, deadlineMs: number, policy: Policy): Arrived {
    chat.messages = [{ role: Role.ROLE_USER, text: 'hello' }];
    chat.sampling ??= { temperature: 0 };
    const arrivedAt = this.clock.now();
    return {
      id: `request-${++this.#requests}`,
      chat,
      tenant: 'tenant',
      target: targetOf(chat),
      policy,
      maxTokens: 10,
      arrivedAt,
      deadlineAt: arrivedAt + deadlineMs,
    };
  }

  /** Ends everything, as a router does that is closed. */
  abort(fault: Fault): void {
    for (const cut of this.#cuts) cut.abort(fault);
  }
}

function meaningOf(answer: CachedAnswer): Meaning {
  const hit = { id: 'id', reference: Buffer.alloc(0), similarity: 0.95 };
  return { model: {}, find: async () => ({ hit, answer }), check: async () => {} } as unknown as Meaning;
}
