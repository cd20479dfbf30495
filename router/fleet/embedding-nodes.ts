/**
 * Which of the fleet's models makes the vectors, and which node is given texts next. A node that failed rests for a while,
 * longer each time in a row, so that requests don't wait for it again and again; also the last one, since a request can do
 * without vectors.
 */
import { embedsOnly } from '../../proto/contract/embedding.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { EmbeddingModel } from './embedder.ts';
import type { NodeLink } from './node-link.ts';

const REST_MS = { first: 1000, most: 30_000 };
/** However many slots a node claims: it reads texts one after the other. */
const MOST_IN_FLIGHT = 4;

/** What was made of one node. */
interface Counts {
  inFlight: number;
  failures: number;
  restsUntil: number;
}

export class EmbeddingNodes {
  readonly #links: () => readonly NodeLink[];
  readonly #now: () => number;
  readonly #counts = new WeakMap<NodeLink, Counts>();
  #current: EmbeddingModel | undefined;

  /** @param now milliseconds, monotonic */
  constructor(links: () => readonly NodeLink[], now: () => number) {
    this.#links = links;
    this.#now = now;
  }

  /** The same as before while a node has it; else the first by name of those that nodes serve, or will soon. */
  get model(): EmbeddingModel | undefined {
    const links = this.#links();
    const current = this.#current;
    if (current && links.some((link) => offers(link, current))) return current;
    const serving = links.flatMap((link) => modelsOf(link).filter(({ name }) => link.serves(name)));
    this.#current = (serving.length > 0 ? serving : links.flatMap(modelsOf)).toSorted(byName)[0];
    return this.#current;
  }

  /** Nodes that could be given texts for a model, were they not busy; the one with the fewest embeds first. */
  candidates(model: EmbeddingModel, except?: NodeLink): NodeLink[] {
    const now = this.#now();
    return this.#links()
      .filter((link) => link !== except && link.serves(model.name) && offers(link, model) && this.#of(link).restsUntil <= now)
      .toSorted((a, b) => this.#of(a).inFlight - this.#of(b).inFlight);
  }

  hasRoom(link: NodeLink, { name }: EmbeddingModel): boolean {
    const slots = link.models.find((model) => model.name === name)?.slots ?? 0;
    return this.#of(link).inFlight < Math.min(slots, MOST_IN_FLIGHT);
  }

  sent(link: NodeLink): void {
    this.#of(link).inFlight++;
  }

  /** An embed there is over, or is waited for no longer. */
  freed(link: NodeLink): void {
    this.#of(link).inFlight--;
  }

  succeeded(link: NodeLink): void {
    const counts = this.#of(link);
    counts.failures = 0;
    counts.restsUntil = 0;
  }

  /** Its engine wants to be left alone for so long. */
  rests(link: NodeLink, ms: number): void {
    const counts = this.#of(link);
    counts.restsUntil = Math.max(counts.restsUntil, this.#now() + ms);
  }

  /** Until the first of those that would serve the model may be asked again; undefined where none would. */
  restsMs(model: EmbeddingModel): number | undefined {
    const resting = this.#links().filter((link) => link.serves(model.name) && offers(link, model));
    const soonest = Math.min(...resting.map((link) => this.#of(link).restsUntil)) - this.#now();
    return Number.isFinite(soonest) ? Math.max(1, soonest) : undefined;
  }

  failed(link: NodeLink): void {
    const counts = this.#of(link);
    const restMs = Math.min(REST_MS.most, REST_MS.first * 2 ** counts.failures);
    counts.failures++;
    counts.restsUntil = this.#now() + restMs;
  }

  #of(link: NodeLink): Counts {
    const counts = this.#counts.get(link) ?? { inFlight: 0, failures: 0, restsUntil: 0 };
    this.#counts.set(link, counts);
    return counts;
  }
}

/** Vectors of models that answer are not near each other where texts mean the same; see nodes/README.md. */
const makesVectors = ({ tasks, embeddingDimensions }: ServedModel) => embedsOnly(tasks) && embeddingDimensions > 0;

function modelsOf({ models }: NodeLink): EmbeddingModel[] {
  return models
    .filter(makesVectors)
    .map(({ name, digest, embeddingDimensions }) => ({ name, digest, dimensions: embeddingDimensions }));
}

function offers({ models }: NodeLink, { name, digest, dimensions }: EmbeddingModel): boolean {
  return models.some(
    (model) => model.name === name && model.digest === digest && model.embeddingDimensions === dimensions && makesVectors(model),
  );
}

function byName(a: EmbeddingModel, b: EmbeddingModel): number {
  const [one, other] = [`${a.name} ${a.digest}`, `${b.name} ${b.digest}`];
  return one === other ? a.dimensions - b.dimensions : one < other ? -1 : 1;
}
