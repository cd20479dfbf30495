/**
 * The choice among judged candidates: the one nearest to the ideal point, which has the best of every objective. Pure.
 *
 * Nearness is the weighted city-block distance: each objective's loss against the ideal, in units of its own, times its
 * weight. Losses that add up trade quality against cost at one rate in every decision, and only so do many decisions
 * together get the most quality for their cost. The units (see `scaleOf`):
 *
 * - quality: a loss of .3 counts as much as the whole range of any other objective. Quality is on the same scale in
 *   every decision, so its unit is fixed; a choice among equally good models is not blown up to one of life and death.
 * - cost: linear, for money adds up; the dearest point of the front counts 1 if the cheapest is free. So saving a tenth
 *   counts .1, however little the sums are.
 * - latency: by ratio, as waiting is felt: ten times as long counts 1, or the range of the front if that is more.
 * - diversity: a share; from all to none counts 1.
 *
 * Whoever dominates is nearer, or as near and first in the order by objectives, so no dominated one is ever chosen; and
 * as the units don't depend on the weights, a higher weight never worsens its objective.
 *
 * Where chance may explore, quality is drawn from what is believed of each model (Thompson sampling), which moves
 * nothing else. The draw belongs to the seed and the model's name.
 */
import type { Columns, Group } from './arms.ts';
import { columnsOf, groupsOf } from './arms.ts';
import type { Judged } from './choice.ts';
import { lexicographic, nonDominated } from './pareto.ts';
import type { Preference } from './policy.ts';
import { normalised } from './policy.ts';
import { propensities } from './propensity.ts';
import { gaussian, seeded, seedFor } from './random.ts';

export interface Choosing {
  readonly preference: Preference;
  /** False: the expected quality is taken as it is. */
  readonly explore: boolean;
  /** Unsigned, 32 bits. */
  readonly seed: number;
  /** The conversation's model, which is kept unless another is nearer by more than `switchMargin`. */
  readonly stayWith?: string | undefined;
  readonly switchMargin?: number;
  /** Chooses among candidates of one model that are equal in every objective; else the first by name. */
  readonly amongEquals?: (equals: readonly number[]) => number;
}

export interface Choice {
  /** Of the chosen one; -1 of none. */
  readonly index: number;
  /** Its model would not have been chosen by what is believed without a draw. */
  readonly explored: boolean;
  /** By model: the probability with which it is chosen, before the draw. Models that never are may be missing. */
  readonly propensities: ReadonlyMap<string, number>;
  /** The points of the front, with the quality drawn; one of those that are equal. */
  readonly front: readonly number[];
  /** To the ideal point, and what a conversation's move costs; found when it is first read. */
  readonly distances: Float64Array;
  /** Quality, as drawn or expected; found when it is first read. */
  readonly drawn: Float64Array;
  /** Whether it is one of the front's points, or equal to one. */
  readonly onFront: (index: number) => boolean;
}

/** A loss of quality that counts as much as the whole range of another objective. */
const QUALITY_UNIT = 0.3;
/** A ratio of latencies that does, if the front spans no larger one. */
const LATENCY_UNIT = Math.log(10);

export function choose(judged: readonly Judged[], choosing: Choosing): Choice {
  const columns = columnsOf(judged);
  const groups = groupsOf(judged, columns);
  const weights = normalised(choosing.preference);
  const points = groups.flatMap((group) => group.points);
  const restAt = restOf(judged, columns, points, weights, choosing);
  const rest = new Float64Array(judged.length);
  for (const point of points) rest[point] = restAt(point);
  const unit = weights.quality / QUALITY_UNIT;
  const best = nearest(judged, points, rest, unit, columns, columns.quality);
  const draws = choosing.explore && unit > 0 && groups.length > 1;
  const drawn = draws ? drawnQuality(groups, columns, choosing.seed) : columns.quality;
  const found = draws ? nearest(judged, points, rest, unit, columns, drawn) : best;
  const front = nonDominated([drawn, columns.cost, columns.latency, columns.diversity], points);
  const model = judged[found]?.model;
  const figures = new Figures(drawn, unit, restAt);
  return {
    index: found < 0 ? -1 : amongEquals(judged, groups, columns, found, choosing),
    explored: model !== judged[best]?.model,
    propensities: draws ? chances(judged, groups, columns, rest, unit, model as string) : certain(model),
    front,
    onFront: (index) => front.some((point) => isEqual(judged, columns, point, index)),
    get distances() {
      return figures.distances;
    },
    get drawn() {
      return figures.drawn;
    },
  };
}

/** What only explanations need of every candidate. */
class Figures {
  readonly #quality: Float64Array;
  readonly #unit: number;
  readonly #restAt: (index: number) => number;
  #distances: Float64Array | undefined;
  #drawn: Float64Array | undefined;

  /** @param quality as losses */
  constructor(quality: Float64Array, unit: number, restAt: (index: number) => number) {
    this.#quality = quality;
    this.#unit = unit;
    this.#restAt = restAt;
  }

  get distances(): Float64Array {
    this.#distances ??= this.#found();
    return this.#distances;
  }

  get drawn(): Float64Array {
    this.#drawn ??= this.#quality.map((loss) => 0 - loss);
    return this.#drawn;
  }

  #found(): Float64Array {
    const ideal = this.#quality.reduce((least, loss) => Math.min(least, loss), 0);
    return this.#quality.map((loss, index) => this.#restAt(index) + this.#unit * (loss - ideal));
  }
}

/** The weighted losses of everything but quality, of one candidate. */
function restOf(
  judged: readonly Judged[],
  { quality, cost, latency, diversity }: Columns,
  points: readonly number[],
  weights: Preference,
  { stayWith, switchMargin = 0 }: Choosing,
): (index: number) => number {
  const front = nonDominated([quality, cost, latency, diversity], points);
  const [cheapest, dearest] = rangeOf(cost, front);
  const [fastest, slowest] = rangeOf(latency, front);
  const [newest] = rangeOf(diversity, front);
  const perUsd = dearest > 0 ? weights.cost / dearest : 0;
  const soon = Math.max(fastest, 1);
  const perLog = weights.latency / Math.max(LATENCY_UNIT, Math.log(Math.max(slowest, 1) / soon));
  const stays = stayWith !== undefined && judged.some(({ model }) => model === stayWith);
  return (i) =>
    perUsd * ((cost[i] as number) - cheapest) +
    perLog * Math.log(Math.max(latency[i] as number, 1) / soon) +
    weights.diversity * ((diversity[i] as number) - newest) +
    (stays && (judged[i] as Judged).model !== stayWith ? switchMargin : 0);
}

function rangeOf(column: Float64Array, points: readonly number[]): readonly [least: number, most: number] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    least = Math.min(least, column[point] as number);
    most = Math.max(most, column[point] as number);
  }
  return [least, most];
}

/** @param quality as losses @returns -1 when there are no points */
function nearest(
  judged: readonly Judged[],
  points: readonly number[],
  rest: Float64Array,
  unit: number,
  { cost, latency, diversity }: Columns,
  quality: Float64Array,
): number {
  const order = [quality, cost, latency, diversity];
  let first = -1;
  let least = Number.POSITIVE_INFINITY;
  for (const point of points) {
    const distance = (rest[point] as number) + unit * (quality[point] as number);
    const before =
      first < 0 ||
      distance < least ||
      (distance === least && (lexicographic(order, point, first) || byName(judged, point, first)) < 0);
    if (!before) continue;
    first = point;
    least = distance;
  }
  return first;
}

function byName(judged: readonly Judged[], a: number, b: number): number {
  const [one, other] = [judged[a] as Judged, judged[b] as Judged];
  if (one.model !== other.model) return one.model < other.model ? -1 : 1;
  return one.node < other.node ? -1 : 1;
}

/** As losses; one draw for each model. */
function drawnQuality(groups: readonly Group[], { quality, sd }: Columns, seed: number): Float64Array {
  const drawn = new Float64Array(quality.length);
  for (const { model, members } of groups) {
    const z = gaussian(seeded(seedFor(seed, model)));
    for (const i of members) drawn[i] = -Math.min(1, Math.max(0, z * (sd[i] as number) - (quality[i] as number)));
  }
  return drawn;
}

/**
 * Of a model's candidates the same one is nearest whatever is drawn, so models compete by that one. A hair's breadth
 * sets apart those that are as near as each other, in the order in which such a tie is decided.
 */
function chances(
  judged: readonly Judged[],
  groups: readonly Group[],
  columns: Columns,
  rest: Float64Array,
  unit: number,
  drawnModel: string,
): ReadonlyMap<string, number> {
  const { quality, sd, cost, latency, diversity } = columns;
  const order = [rest, cost, latency, diversity];
  const before = (a: number, b: number) => lexicographic(order, a, b) || byName(judged, a, b);
  const bests = groups.map(({ points }) => points.reduce((a, b) => (before(b, a) < 0 ? b : a))).sort(before);
  const contenders = bests.map((best, rank) => ({
    base: (rest[best] as number) + rank * TIE,
    mean: -(quality[best] as number),
    sd: sd[best] as number,
  }));
  const result = new Map<string, number>();
  propensities(contenders, unit).forEach((chance, i) => {
    const { model } = judged[bests[i] as number] as Judged;
    if (chance > 0) result.set(model, chance + (result.get(model) ?? 0));
  });
  if (!result.has(drawnModel)) result.set(drawnModel, LEAST_CHANCE);
  return result;
}

/** What has been drawn was possible, if hardly. */
const LEAST_CHANCE = 1e-9;
/** More than the finest step of the integration, and far less than any distance that matters. */
const TIE = 4e-9;

function certain(model: string | undefined): ReadonlyMap<string, number> {
  return new Map(model === undefined ? [] : [[model, 1]]);
}

function amongEquals(
  judged: readonly Judged[],
  groups: readonly Group[],
  columns: Columns,
  point: number,
  choosing: Choosing,
): number {
  const group = groups.find(({ points }) => points.includes(point)) as Group;
  const equals = group.members.filter((index) => isEqual(judged, columns, point, index));
  if (equals.length === 1) return point;
  equals.sort((a, b) => byName(judged, a, b));
  return choosing.amongEquals?.(equals) ?? (equals[0] as number);
}

function isEqual(judged: readonly Judged[], columns: Columns, a: number, b: number): boolean {
  const { quality, cost, latency, diversity } = columns;
  return (
    (judged[a] as Judged).model === (judged[b] as Judged).model && lexicographic([quality, cost, latency, diversity], a, b) === 0
  );
}
