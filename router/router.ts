/** A router, assembled: services over a journey over a fleet. */
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { OpenCache } from '../cache/index.ts';
import { openSemantic } from '../cache/index.ts';
import type { Fault } from '../proto/contract/faults.ts';
import { AdminServiceService } from '../proto/gen/infermesh/v1/admin.ts';
import { CacheServiceService } from '../proto/gen/infermesh/v1/cache.ts';
import { InferenceServiceService } from '../proto/gen/infermesh/v1/inference.ts';
import { LinkServiceService } from '../proto/gen/infermesh/v1/link.ts';
import { readIdentity, readPem } from '../proto/transport/pem.ts';
import type { TlsFiles } from '../proto/transport/server.ts';
import { GrpcServer } from '../proto/transport/server.ts';
import type { CacheEvent } from '../telemetry/cache-events.ts';
import type { FleetEvent, RequestObserver, Tell } from '../telemetry/events.ts';
import { WaitingRoom } from './admit/waiting-room.ts';
import { Batches } from './batch/batches.ts';
import { errands } from './batch/errands.ts';
import type { Classifier } from './classify/classification.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { EmbeddingDemand } from './fleet/embedding-demand.ts';
import { Fleet } from './fleet/fleet.ts';
import { FleetEmbedder } from './fleet/fleet-embedder.ts';
import { Sessions } from './fleet/sessions.ts';
import type { Admitted } from './journey.ts';
import { Journey } from './journey.ts';
import type { LogEntry } from './ledger/decision-entry.ts';
import { Ledger } from './ledger/ledger.ts';
import { rewardWeights } from './ledger/reward.ts';
import type { Policies } from './policy-file.ts';
import { Meaning } from './reuse/meaning.ts';
import type { Bandit } from './select/bandit/bandit.ts';
import { adminHandlers } from './services/admin.ts';
import { cacheHandlers } from './services/cache.ts';
import { cacheAdmin } from './services/cache-admin.ts';
import { inferenceHandlers } from './services/inference.ts';
import { linkHandlers } from './services/link.ts';
import type { RouterSettings } from './settings.ts';
import type { OwnShare, Sharing } from './share/share.ts';
import { Tally } from './tally.ts';
import { Callers } from './trust/callers.ts';
import { NodeGate } from './trust/node-gate.ts';
import { Quotas } from './trust/quotas.ts';
import type { Tenants } from './trust/tenants.ts';
import { TrustFolder } from './trust/trust-folder.ts';
import { Vectors } from './vectors.ts';

export interface RouterParts {
  readonly settings: RouterSettings;
  readonly token: string;
  readonly version: string;
  readonly observer: RequestObserver;
  readonly tellFleet: Tell<FleetEvent>;
  readonly onDefect: (method: string, fault: Fault) => void;
  readonly classifier: Classifier;
  readonly policies: Policies;
  /** Undefined: everybody may call, as the tenant without a name. */
  readonly tenants?: { readonly current: Tenants } | undefined;
  /** What was learnt before, and goes on being learnt. */
  readonly bandit: Bandit;
  /** Takes the lines of the decision log; never throws. */
  readonly logDecision: (entry: LogEntry) => void;
  /** Closed by whoever opened it, after the router. */
  readonly cache: OpenCache;
  readonly tellCache: Tell<CacheEvent>;
  /** Opens what is shared with other routers; undefined: nothing is. */
  readonly share?: ((own: OwnShare) => Sharing) | undefined;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export class Router {
  readonly id = `router-${randomUUID().slice(0, 8)}`;
  readonly #settings: RouterSettings;
  readonly #server: GrpcServer;
  readonly #journey: Journey;
  readonly #batches: Batches;
  readonly #fleet: Fleet;
  readonly #tally = new Tally();
  readonly #embedder: FleetEmbedder;
  readonly #meaning: Meaning;
  readonly #sharing: Sharing | undefined;

  constructor({
    settings,
    token,
    version,
    observer,
    tellFleet,
    onDefect,
    classifier,
    policies,
    tenants,
    bandit,
    logDecision,
    cache: opened,
    tellCache,
    share,
    clock = systemClock,
    random = Math.random,
  }: RouterParts) {
    this.#settings = settings;
    this.#fleet = new Fleet(clock, tellFleet, random);
    const fleet = this.#fleet;
    const tally = this.#tally;
    const room = new WaitingRoom<Admitted>(clock, random);
    const rewards = rewardWeights(policies.rewards);
    const ledger = new Ledger({ clock, classifier, bandit, rewards, key: randomUUID(), log: logDecision });
    const sessions = new Sessions(clock);
    const guarded = tenants !== undefined || settings.tlsClientCa !== undefined;
    const callers = new Callers({ tenants: () => tenants?.current, token, guarded });
    const { cache } = opened;
    this.#embedder = new FleetEmbedder({ fleet, clock });
    const needs = { clock, random, tell: tellCache };
    const open = () => openSemantic(opened, needs);
    const vectors = new Vectors({ cache, embedder: this.#embedder, demand: new EmbeddingDemand({ fleet, clock }) });
    const meaning = new Meaning({ keys: cache.keys, classifier, vectors, open });
    this.#meaning = meaning;
    const gate = new NodeGate({ token, folder: new TrustFolder(trustFolder(settings)), clock });
    const quotas = new Quotas(
      () => clock.now(),
      (tenant) => tenants?.current.quotaOf(tenant),
    );
    this.#sharing = share?.({ router: this.id, clock, random, quotas, sessions, fleet });
    this.#journey = new Journey({
      fleet,
      sessions,
      room,
      ledger,
      observer,
      clock,
      random,
      classifier,
      policies,
      tally,
      trials: fleet.breakers,
      callers,
      quotas,
      cache: settings.cache ? cache : undefined,
      meaning,
    });
    const { listen, writer } = settings;
    const tls = tlsOf(settings);
    this.#server = new GrpcServer({ address: listen, writer, onDefect, ...(tls ? { tls } : {}) });
    const embedding = { vectors, callers, quotas, tally, observer };
    this.#batches = new Batches({
      clock,
      random,
      callers,
      fleet,
      room,
      embeddingModel: () => vectors.model?.name,
      begin: errands({ journey: this.#journey, embedding, onDefect }),
    });
    this.#server.addService(InferenceServiceService, inferenceHandlers(this.#journey, embedding, this.#batches));
    this.#server.addService(
      AdminServiceService,
      adminHandlers({
        fleet,
        room,
        tally,
        ledger,
        clock,
        routerId: this.id,
        version,
        callers,
        gate,
        cache: cacheAdmin({ cache, meaning, tally }),
      }),
    );
    this.#server.addService(CacheServiceService, cacheHandlers({ cache, callers, clock }));
    this.#server.addService(
      LinkServiceService,
      linkHandlers({ fleet, clock, gate, routerId: this.id, tell: tellFleet, onDefect }),
    );
  }

  /** @returns the port. @throws Fault UNREACHABLE when it can't be had */
  listen(): Promise<number> {
    return this.#server.listen();
  }

  /** Refuses new requests, lets the running ones end within the drain time, then ends everything. */
  async close(): Promise<void> {
    this.#server.setServing(false);
    this.#journey.drain();
    this.#batches.drain();
    await this.#tally.idle(this.#settings.drainMs);
    this.#journey.abort();
    this.#embedder[Symbol.dispose]();
    this.#fleet.stop();
    await this.#sharing?.[Symbol.asyncDispose]();
    await this.#meaning.close();
    // Watchers hold streams that end only by force.
    await this.#server.close(LAST_WORDS_MS);
  }
}

/** For statuses on their way to clients whose requests were cut. */
const LAST_WORDS_MS = 200;

function trustFolder({ trust, tokenFile }: RouterSettings): string {
  return trust ?? join(dirname(tokenFile), 'trust');
}

function tlsOf({ tlsCert, tlsKey, tlsClientCa, tlsClientAuth }: RouterSettings): TlsFiles | undefined {
  const identity = readIdentity(tlsCert, tlsKey);
  if (!identity || tlsClientCa === undefined) return identity;
  return { ...identity, clients: { ca: readPem(tlsClientCa, '--tls-client-ca'), required: tlsClientAuth === 'required' } };
}
