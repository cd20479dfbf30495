/**
 * A node: one engine, and a link to every router it was told of. It dials at once and says what it is loading, so that
 * a router knows it is busy rather than dead; it takes work when its engine is ready. When the engine dies it goes on
 * announcing the model, which will be back.
 *
 *   serving -> leaving -> left
 *
 * It leaves when it is told to end and when a router asks it to: it says so to all routers, takes nothing new, lets what
 * runs go on for a while, hands the rest back, says goodbye and ends its engine.
 */
import { embedsOnly } from '../proto/contract/embedding.ts';
import type { Fault } from '../proto/contract/faults.ts';
import type { Embed, Embedded, Hello, Report, Work } from '../proto/gen/infermesh/v1/link.ts';
import type { Hardware, ModelLoad, ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import { ModelState, NodeState } from '../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent, Tell, WorkObserver, WorkWatch } from '../telemetry/events.ts';
import { Assignment } from './assignment.ts';
import type { Load } from './backends/backend.ts';
import { failure } from './backends/job-run.ts';
import type { Credentials } from './credentials.ts';
import { EmbedTask } from './embed-task.ts';
import type { Engine, EngineState } from './engine/engine.ts';
import { refuseWith } from './engine/refuse.ts';
import type { FrameWriter } from './frame.ts';
import type { Usage, UsageSampler } from './hardware.ts';
import type { Frame } from './link-stream.ts';
import { CachedPrefixes } from './prefixes.ts';
import { refusalOf, refusalOfEmbed } from './refusal.ts';
import { ReportPace } from './report-pace.ts';
import { RouterLink } from './router-link.ts';
import type { NodeSettings } from './settings.ts';

/** The longest that what runs may go on in a node that leaves. */
const LONGEST_DRAIN_MS = 3_600_000;

export interface AgentParts extends Credentials {
  readonly id: string;
  readonly settings: NodeSettings;
  readonly version: string;
  readonly hardware: Hardware;
  readonly engine: Engine;
  /** As it is announced until the engine has loaded and measured it. */
  readonly expected: ServedModel;
  readonly usage: UsageSampler;
  readonly observer: WorkObserver;
  readonly tell: Tell<NodeEvent>;
  readonly random?: () => number;
}

export class Agent {
  readonly #parts: AgentParts;
  readonly #links: RouterLink[];
  readonly #hello: Hello;
  readonly #pace = new ReportPace<RouterLink>(() => this.#report());
  readonly #prefixes: CachedPrefixes;
  /** Which version of the prefixes a router was told last. */
  readonly #told = new Map<RouterLink, number>();
  /** What the routers are told of; undefined when the engine has given up. */
  #model: ServedModel | undefined;
  /** Assignments and embeds that were not refused and are not over. */
  #taken = 0;
  #draining = false;
  readonly #gone = Promise.withResolvers<void>();
  /** Aborted when what still runs is handed back. */
  readonly #limit = new AbortController();
  #limitAt = Number.POSITIVE_INFINITY;
  #limitTimer: NodeJS.Timeout | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#model = parts.expected;
    const { id, settings, version, hardware, engine } = parts;
    const labels = Object.fromEntries(settings.labels.map((label) => label.split(/=(.*)/s, 2) as [string, string]));
    this.#prefixes = new CachedPrefixes(settings.slots);
    this.#hello = { nodeId: id, epoch: Date.now(), version, zone: settings.zone, labels, hardware };
    this.#links = settings.join.map((router) => this.#dial(router));
    engine.onState((state) => this.#engineChanged(state));
  }

  get leaving(): boolean {
    return this.#draining;
  }

  /** Resolves when the node has left, whoever asked for it. */
  get left(): Promise<void> {
    return this.#gone.promise;
  }

  #dial(router: string): RouterLink {
    const { id, token, tls, identity, key, tell, random = Math.random } = this.#parts;
    const link: RouterLink = new RouterLink({
      router,
      nodeId: id,
      token,
      tls,
      identity,
      key,
      random,
      introduction: () => this.#introduction(),
      onConnected: (routerId, reportIntervalMs) => {
        this.#pace.asked(link, reportIntervalMs);
        tell({ type: 'router_connected', router, routerId });
        // A router that is new, or new to this node, knows nothing of its cache.
        this.#told.delete(link);
        // What changed between the introduction and the welcome.
        link.send(this.#inventory());
        link.send({ $case: 'report', value: this.#reportFor(link, this.#parts.usage.sample()) });
      },
      onLost: ({ reason }, retryInMs, refused) => {
        this.#pace.gone(link);
        tell(refused ? { type: 'router_refused', router, reason } : { type: 'router_lost', router, reason, retryInMs });
      },
      onWork: (work, frames, onOver) => this.#begin(work, frames, onOver),
      onEmbed: (embed, answer, onOver) => this.#beginEmbed(embed, answer, onOver),
      onDrain: (limitMs) => void this.leave(limitMs),
    });
    return link;
  }

  #introduction(): Frame[] {
    return [{ $case: 'hello', value: this.#hello }];
  }

  #inventory(): Frame {
    return { $case: 'inventory', value: { models: this.#model ? [this.#model] : [] } };
  }

  #begin(work: Work, frames: FrameWriter, onOver: () => void): Assignment {
    const { id, observer, engine } = this.#parts;
    const { model, request, epoch, traceparent } = work;
    const watch = work.canary ? UNWATCHED : observer.watch({ node: id, model, request, epoch, traceparent });
    const refusal = refusalOf(work, { draining: this.#draining, model: this.#model, taken: this.#taken });
    if (refusal) return new Assignment({ work, generate: refusing(refusal), frames, watch, onOver });
    const over = this.#take(onOver);
    const generate: Engine['generate'] = (job, sink) =>
      engine.generate(job, job.canary ? sink : this.#prefixes.watching(job, sink));
    return new Assignment({ work, generate, frames, watch, onOver: over });
  }

  #beginEmbed(embed: Embed, answer: (embedded: Embedded) => void, onOver: () => void): EmbedTask {
    const { id, observer, engine } = this.#parts;
    const { model, request, traceparent } = embed;
    const watch = observer.watch({ node: id, model, request, epoch: 1, traceparent, operation: 'embeddings' });
    const refusal = refusalOfEmbed(embed, { draining: this.#draining, model: this.#model, taken: this.#taken });
    if (!refusal) return new EmbedTask({ embed, engine, watch, answer, onOver: this.#take(onOver) });
    const { reason, message } = refusal;
    return new EmbedTask({ embed, engine: { embed: async () => failure(reason, message) }, watch, answer, onOver });
  }

  /** Counts what was not refused, until it is over. */
  #take(onOver: () => void): () => void {
    this.#taken++;
    this.#reportSoon();
    return () => {
      onOver();
      this.#taken--;
      this.#reportSoon();
    };
  }

  #engineChanged(state: EngineState): void {
    const { tell, settings } = this.#parts;
    const [model = ''] = settings.model;
    if (state.type === 'ready') {
      const { slots, prefillTokensPerSecond, decodeTokensPerSecond } = state.model;
      tell({ type: 'engine_ready', model, slots, prefillTokensPerSecond, decodeTokensPerSecond });
      this.#announce(state.model);
    } else if (state.type === 'crashed') {
      this.#prefixes.clear();
      tell({ type: 'engine_crashed', model, message: state.message, restartInMs: state.restartInMs });
    } else if (state.type === 'disposed') {
      this.#announce(undefined);
    }
    // Progress of loading is no news to a router.
    if (state.type !== 'loading') this.#report();
  }

  #announce(model: ServedModel | undefined): void {
    this.#model = model;
    for (const link of this.#links) link.send(this.#inventory());
  }

  /** When work has begun or ended: the slots that are left for the other routers. */
  #reportSoon(): void {
    // With one router there is nobody else whose requests take its slots.
    if (this.#links.length >= 2) this.#pace.soon();
  }

  #report(): void {
    const usage = this.#parts.usage.sample();
    for (const link of this.#links) link.send({ $case: 'report', value: this.#reportFor(link, usage) });
  }

  #reportFor(link: RouterLink, usage: Usage): Report {
    const loads = this.#model ? [this.#loadFor(link, this.#model)] : [];
    return {
      ...usage,
      state: this.#state(),
      loads,
      engineCrashes: this.#parts.engine.crashes,
      cachedPrefixes: this.#newsFor(link),
      gpus: [],
    };
  }

  /** What the KV cache holds, where the router has not been told so yet. */
  #newsFor(link: RouterLink): Report['cachedPrefixes'] {
    const { version, hashes } = this.#prefixes;
    if (!this.#model || (this.#told.get(link) ?? 0) === version) return [];
    this.#told.set(link, version);
    return [{ model: this.#model.name, hashes: [...hashes] }];
  }

  #loadFor(link: RouterLink, model: ServedModel): ModelLoad {
    const {
      running,
      queued,
      queuedPromptTokens,
      kvCacheUse,
      usableSlots = model.slots,
    } = embedsOnly(model.tasks) ? embedLoad(this.#taken, model.slots) : this.#parts.engine.currentLoad();
    const others = this.#links.reduce((sum, other) => sum + (other === link ? link.abandoned : other.working), 0);
    return {
      model: model.name,
      freeSlots: Math.max(0, usableSlots - others),
      running,
      queued,
      queuedPromptTokens,
      kvCacheUse,
      prefillTokensPerSecond: model.prefillTokensPerSecond,
      decodeTokensPerSecond: model.decodeTokensPerSecond,
      state: ModelState.MODEL_STATE_UNSPECIFIED,
      loadMs: 0,
    };
  }

  #state(): NodeState {
    if (this.#draining) return NodeState.NODE_STATE_DRAINING;
    const { state, crashes } = this.#parts.engine;
    if (state.type === 'ready') return NodeState.NODE_STATE_SERVING;
    return crashes > 0 ? NodeState.NODE_STATE_RECOVERING : NodeState.NODE_STATE_LOADING;
  }

  /** Leaves within the node's own drain time; resolves when everything is gone. */
  close(): Promise<void> {
    return this.leave(this.#parts.settings.drainMs);
  }

  /**
   * Asked again, the shorter limit counts.
   * @param limitMs how long what runs may go on; above an hour it is an hour
   */
  leave(limitMs: number): Promise<void> {
    this.#handBackWithin(Math.min(LONGEST_DRAIN_MS, limitMs));
    if (!this.#draining) this.#leave().then(this.#gone.resolve, this.#gone.reject);
    return this.#gone.promise;
  }

  #handBackWithin(limitMs: number): void {
    const at = performance.now() + limitMs;
    if (at >= this.#limitAt || this.#limit.signal.aborted) return;
    this.#limitAt = at;
    clearTimeout(this.#limitTimer);
    this.#limitTimer = setTimeout(() => this.#limit.abort(), limitMs);
  }

  async #leave(): Promise<void> {
    const { engine, tell } = this.#parts;
    this.#draining = true;
    tell({ type: 'draining', inFlight: this.#links.reduce((sum, { working }) => sum + working, 0) });
    // Reports go on, or the routers would take a long drain for a silent node.
    this.#report();
    await Promise.all(this.#links.map((link) => link.idle(this.#limit.signal)));
    clearTimeout(this.#limitTimer);
    this.#limit.abort();
    for (const link of this.#links) link.handBack();
    await Promise.all(this.#links.map((link) => link.close()));
    this.#pace.stop();
    await engine.dispose();
    tell({ type: 'stopped' });
  }
}

/** The engine reads the texts of all embeds in turns, so those that have a slot are those that came first. */
function embedLoad(taken: number, slots: number): Load {
  const running = Math.min(taken, slots);
  return { running, queued: taken - running, queuedPromptTokens: 0, kvCacheUse: 0 };
}

/** Refuses whatever comes, on the way that an answer takes. */
function refusing({ reason, message }: Fault): Engine['generate'] {
  return (_job, sink) => refuseWith(sink, failure(reason, message));
}

/** A canary is no request of anybody's. */
const UNWATCHED: WorkWatch = { tell: () => {} };
