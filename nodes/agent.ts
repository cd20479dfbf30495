/**
 * A node: the models on its shelf, and a link to every router it was told of. It dials at once and says what it is loading,
 * so that a router knows it is busy rather than dead; it takes work for a model when that is in memory. When an engine dies
 * it goes on announcing the model, which will be back.
 *
 *   serving -> leaving -> left
 *
 * It leaves when it is told to end and when a router asks it to: it says so to all routers, takes nothing new, lets what
 * runs go on for a while, hands the rest back, says goodbye and ends its engines.
 */
import type { Fault } from '../proto/contract/faults.ts';
import type { Embed, Embedded, Hello, ModelCommand, ModelProgress, Report, Work } from '../proto/gen/infermesh/v1/link.ts';
import { ModelStage } from '../proto/gen/infermesh/v1/link.ts';
import type { Hardware, ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent, Tell, WorkObserver, WorkWatch } from '../telemetry/events.ts';
import { Assignment } from './assignment.ts';
import { failure } from './backends/job-run.ts';
import type { Credentials } from './credentials.ts';
import { EmbedTask } from './embed-task.ts';
import type { Engine } from './engine/engine.ts';
import { refuseWith } from './engine/refuse.ts';
import type { FrameWriter } from './frame.ts';
import type { GpuWatch, Usage, UsageSampler } from './hardware.ts';
import type { Frame } from './link-stream.ts';
import { modelLoad, nodeState } from './node-report.ts';
import { PrefixNews } from './prefix-news.ts';
import type { PressureWatch } from './pressure/watch.ts';
import type { Standing } from './refusal.ts';
import { notResident, refusalOf, refusalOfEmbed } from './refusal.ts';
import { ReportPace } from './report-pace.ts';
import { RouterLink } from './router-link.ts';
import type { NodeSettings } from './settings.ts';
import { obey } from './shelf/commands.ts';
import { shuttingDown } from './shelf/faults.ts';
import type { Resident } from './shelf/resident.ts';
import type { Shelf } from './shelf/shelf.ts';
import { wireFailure } from './wire-failure.ts';

/** The longest that what runs may go on in a node that leaves. */
const LONGEST_DRAIN_MS = 3_600_000;

export interface AgentParts extends Credentials {
  readonly id: string;
  readonly settings: NodeSettings;
  readonly version: string;
  readonly hardware: Hardware;
  readonly shelf: Shelf;
  readonly usage: UsageSampler;
  readonly gpus: Pick<GpuWatch, 'uses'>;
  readonly pressure: Pick<PressureWatch, 'report' | 'sheds' | 'onChange'>;
  readonly observer: WorkObserver;
  readonly tell: Tell<NodeEvent>;
  readonly random?: () => number;
}

export class Agent {
  readonly #parts: AgentParts;
  readonly #links: RouterLink[];
  readonly #hello: Hello;
  readonly #pace = new ReportPace<RouterLink>(() => this.#report());
  /** What each router has not been told yet of the KV caches. */
  readonly #prefixNews = new Map<RouterLink, PrefixNews>();
  /** What the routers were told of last. */
  #announced: readonly ServedModel[] = [];
  #draining = false;
  readonly #gone = Promise.withResolvers<void>();
  /** Aborted when what still runs is handed back. */
  readonly #limit = new AbortController();
  #limitAt = Number.POSITIVE_INFINITY;
  #limitTimer: NodeJS.Timeout | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { id, settings, version, hardware, shelf, pressure } = parts;
    const labels = Object.fromEntries(settings.labels.map((label) => label.split(/=(.*)/s, 2) as [string, string]));
    this.#hello = { nodeId: id, epoch: Date.now(), version, zone: settings.zone, labels, hardware };
    this.#links = settings.join.map((router) => this.#dial(router));
    shelf.onChange(() => this.#shelfChanged());
    pressure.onChange(() => this.#report());
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
        this.#prefixNews.set(link, new PrefixNews());
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
      onCommand: (command, answer) => this.#obey(command, answer),
      onDrain: (limitMs) => void this.leave(limitMs),
    });
    return link;
  }

  #introduction(): Frame[] {
    return [{ $case: 'hello', value: this.#hello }];
  }

  #inventory(): Frame {
    return { $case: 'inventory', value: { models: this.#parts.shelf.models.map(({ served }) => served) } };
  }

  #begin(work: Work, frames: FrameWriter, onOver: () => void): Assignment {
    const { id, observer } = this.#parts;
    const { model, request, epoch, traceparent } = work;
    const watch = work.canary ? UNWATCHED : observer.watch({ node: id, model, request, epoch, traceparent });
    const { resident, standing } = this.#standing(model, work.canary);
    const refusal = refusalOf(work, standing);
    if (refusal || !resident)
      return new Assignment({ work, generate: refusing(refusal ?? notResident()), frames, watch, onOver });
    const generate: Engine['generate'] = (job, sink) =>
      resident.engine.generate(job, job.canary ? sink : resident.prefixes.watching(job, sink));
    const make = (over: () => void) => new Assignment({ work, generate, frames, watch, onOver: over });
    return this.#take(resident, onOver, make, work.canary);
  }

  #beginEmbed(embed: Embed, answer: (embedded: Embedded) => void, onOver: () => void): EmbedTask {
    const { id, observer } = this.#parts;
    const { model, request, traceparent } = embed;
    const watch = observer.watch({ node: id, model, request, epoch: 1, traceparent, operation: 'embeddings' });
    const { resident, standing } = this.#standing(model);
    const refusal = refusalOfEmbed(embed, standing);
    if (refusal || !resident) return new EmbedTask({ embed, engine: noVectors(refusal ?? notResident()), watch, answer, onOver });
    const { engine } = resident;
    return this.#take(resident, onOver, (over) => new EmbedTask({ embed, engine, watch, answer, onOver: over }));
  }

  /** Who would work for the model, and what there is against it. */
  #standing(model: string, canary = false): { readonly resident: Resident | undefined; readonly standing: Standing } {
    const { shelf, pressure } = this.#parts;
    const place = shelf.place(model);
    const resident = place?.current;
    const taken = resident?.taken ?? 0;
    // A canary takes next to nothing, and without one a router would take the engine for dead.
    const sheds = pressure.sheds && !canary;
    return {
      resident,
      standing: { draining: this.#draining, model: place?.served, resident: resident !== undefined, sheds, taken },
    };
  }

  /** Counts what was not refused, until it is over. */
  #take<Taken extends Assignment | EmbedTask>(
    resident: Resident,
    onOver: () => void,
    make: (over: () => void) => Taken,
    canary = false,
  ): Taken {
    return resident.begin((over) => {
      this.#reportSoon();
      return make(() => {
        onOver();
        over();
        this.#reportSoon();
      });
    }, canary);
  }

  #obey(command: ModelCommand, answer: (progress: ModelProgress) => void): void {
    if (!this.#draining) return obey(this.#parts.shelf, command, answer);
    const failure = wireFailure(shuttingDown());
    answer({ command: command.command, stage: ModelStage.MODEL_STAGE_UNSPECIFIED, fraction: 0, failure });
  }

  #shelfChanged(): void {
    const models = this.#parts.shelf.models.map(({ served }) => served);
    const news = models.length !== this.#announced.length || models.some((model, at) => model !== this.#announced[at]);
    this.#announced = models;
    if (news) for (const link of this.#links) link.send(this.#inventory());
    this.#report();
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
    const { shelf, gpus, pressure } = this.#parts;
    const { models, starting } = shelf;
    const cached = models.map(({ name, current }) => ({ name, prefixes: current?.prefixes }));
    return {
      ...usage,
      state: nodeState({ leaving: this.#draining, starting, states: models.map(({ state }) => state) }),
      loads: models.map((place) => modelLoad(place, this.#takenByOthers(link, place.name))),
      engineCrashes: shelf.crashes,
      cachedPrefixes: this.#prefixNews.get(link)?.since(cached) ?? [],
      gpus: [...gpus.uses],
      pressure: pressure.report,
    };
  }

  /** Slots that the router cannot know to be taken. */
  #takenByOthers(link: RouterLink, model: string): number {
    return this.#links.reduce((sum, other) => sum + (other === link ? link.abandoned : other.working).of(model), 0);
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
    const { shelf, tell } = this.#parts;
    this.#draining = true;
    tell({ type: 'draining', inFlight: this.#links.reduce((sum, { working }) => sum + working.total, 0) });
    // Reports go on, or the routers would take a long drain for a silent node.
    this.#report();
    await Promise.all(this.#links.map((link) => link.idle(this.#limit.signal)));
    clearTimeout(this.#limitTimer);
    this.#limit.abort();
    for (const link of this.#links) link.handBack();
    await Promise.all(this.#links.map((link) => link.close()));
    this.#pace.stop();
    await shelf.dispose();
    tell({ type: 'stopped' });
  }
}

/** Refuses whatever comes, on the way that an answer takes. */
function refusing({ reason, message }: Fault): Engine['generate'] {
  return (_job, sink) => refuseWith(sink, failure(reason, message));
}

function noVectors({ reason, message }: Fault): Pick<Engine, 'embed'> {
  return { embed: async () => failure(reason, message) };
}

/** A canary is no request of anybody's. */
const UNWATCHED: WorkWatch = { tell: () => {} };
