/**
 * A node: one engine, and a link to every router it was told of. It dials at once and says what it is loading, so that
 * a router knows it is busy rather than dead; it takes work when its engine is ready. When the engine dies it goes on
 * announcing the model, which will be back.
 */
import { Fault } from '../proto/contract/faults.ts';
import type { Hello, Report, Work } from '../proto/gen/infermesh/v1/link.ts';
import type { Hardware, ModelLoad, ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import { NodeState } from '../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent, Tell, WorkObserver } from '../telemetry/events.ts';
import { Assignment } from './assignment.ts';
import { failure } from './backends/job-run.ts';
import type { Credentials } from './credentials.ts';
import type { Engine, EngineState } from './engine/engine.ts';
import { refuseWith } from './engine/refuse.ts';
import type { FrameWriter } from './frame.ts';
import type { Usage, UsageSampler } from './hardware.ts';
import type { Frame } from './link-stream.ts';
import { CachedPrefixes } from './prefixes.ts';
import { RouterLink } from './router-link.ts';
import type { NodeSettings } from './settings.ts';

const REPORT_INTERVAL_MS = 1000;
/** Changes that come close together go out in one report. */
const REPORT_SOON_MS = 20;

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
  readonly #reports: NodeJS.Timeout;
  readonly #prefixes: CachedPrefixes;
  /** Which version of the prefixes a router was told last. */
  readonly #told = new Map<RouterLink, number>();
  #soon: NodeJS.Timeout | undefined;
  /** What the routers are told of; undefined when the engine has given up. */
  #model: ServedModel | undefined;
  #draining = false;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#model = parts.expected;
    const { id, settings, version, hardware, engine } = parts;
    const labels = Object.fromEntries(settings.labels.map((label) => label.split(/=(.*)/s, 2) as [string, string]));
    this.#prefixes = new CachedPrefixes(settings.slots);
    this.#hello = { nodeId: id, epoch: Date.now(), version, zone: settings.zone, labels, hardware };
    this.#links = settings.join.map((router) => this.#dial(router));
    engine.onState((state) => this.#engineChanged(state));
    this.#reports = setInterval(() => this.#report(), REPORT_INTERVAL_MS);
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
      onConnected: (routerId) => {
        tell({ type: 'router_connected', router, routerId });
        // A router that is new, or new to this node, knows nothing of its cache.
        this.#told.delete(link);
        // What changed between the introduction and the welcome.
        link.send(this.#inventory());
        link.send({ $case: 'report', value: this.#reportFor(link, this.#parts.usage.sample()) });
      },
      onLost: ({ reason }, retryInMs, refused) =>
        tell(refused ? { type: 'router_refused', router, reason } : { type: 'router_lost', router, reason, retryInMs }),
      onWork: (work, frames, onOver) => this.#begin(work, frames, onOver),
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
    const watch = observer.watch({ node: id, model, request, epoch, traceparent });
    const refusal = this.#refusal(work);
    this.#reportSoon();
    const over = () => {
      onOver();
      this.#reportSoon();
    };
    const generate: Engine['generate'] = refusal
      ? refusing(refusal)
      : (job, sink) => engine.generate(job, this.#prefixes.watching(job, sink));
    return new Assignment({ work, generate, frames, watch, onOver: over });
  }

  #refusal({ model }: Work): Fault | undefined {
    if (this.#draining) return new Fault('DRAINING', 'the node is shutting down');
    if (this.#model && this.#model.name !== model) return new Fault('MODEL_NOT_FOUND', 'the node does not serve that model');
    return undefined;
  }

  #engineChanged(state: EngineState): void {
    const { tell, settings } = this.#parts;
    const { model } = settings;
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
    if (this.#links.length < 2) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#report();
    }, REPORT_SOON_MS);
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
    const { running, queued, queuedPromptTokens, kvCacheUse } = this.#parts.engine.currentLoad();
    const others = this.#links.reduce((sum, other) => (other === link ? sum : sum + other.working), 0);
    return {
      model: model.name,
      freeSlots: Math.max(0, model.slots - others),
      running,
      queued,
      queuedPromptTokens,
      kvCacheUse,
      prefillTokensPerSecond: model.prefillTokensPerSecond,
      decodeTokensPerSecond: model.decodeTokensPerSecond,
    };
  }

  #state(): NodeState {
    if (this.#draining) return NodeState.NODE_STATE_DRAINING;
    const { state, crashes } = this.#parts.engine;
    if (state.type === 'ready') return NodeState.NODE_STATE_SERVING;
    return crashes > 0 ? NodeState.NODE_STATE_RECOVERING : NodeState.NODE_STATE_LOADING;
  }

  /** Finishes what runs within the drain time, says goodbye, ends the engine. */
  async close(): Promise<void> {
    const { engine, settings, tell } = this.#parts;
    this.#draining = true;
    clearInterval(this.#reports);
    tell({ type: 'draining', inFlight: this.#links.reduce((sum, { working }) => sum + working, 0) });
    this.#report();
    // Reports go on, or the routers would take a long drain for a silent node.
    const reports = setInterval(() => this.#report(), REPORT_INTERVAL_MS);
    await Promise.all(this.#links.map((link) => link.idle(settings.drainMs)));
    clearInterval(reports);
    clearTimeout(this.#soon);
    await Promise.all(this.#links.map((link) => link.close()));
    await engine.dispose();
    tell({ type: 'stopped' });
  }
}

/** Refuses whatever comes, on the way that an answer takes. */
function refusing({ reason, message }: Fault): Engine['generate'] {
  return (_job, sink) => refuseWith(sink, failure(reason, message));
}
