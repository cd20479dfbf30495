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
import type { Group, Point } from './arms.ts';
import { groupsOf, pointsOf } from './arms.ts';
import type { Judged } from './choice.ts';
import { Choice, isEqual } from './made-choice.ts';
import { lexicographic, nonDominated } from './pareto.ts';
import type { Preference } from './policy.ts';
import { normalised } from './policy.ts';
import { propensities } from './propensity.ts';
import { gaussian, seeded, seedFor } from './random.ts';

export type { Choice };

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

/** A loss of quality that counts as much as the whole range of another objective. */
const QUALITY_UNIT = 0.3;
/** A ratio of latencies that does, if the front spans no larger one. */
const LATENCY_UNIT = Math.log(10);

export function choose(judged: readonly Judged[], choosing: Choosing): Choice {
  const groups = groupsOf(judged);
  const points = pointsOf(judged, groups);
  const weights = normalised(choosing.preference);
  const unit = weights.quality / QUALITY_UNIT;
  const draws = choosing.explore && unit > 0 && groups.length > 1;
  const expected = tableOf(points, ({ group }) => group.quality.mean);
  const drawnOf = draws ? drawnQuality(groups, choosing.seed) : (group: Group) => group.quality.mean;
  const drawn = draws ? tableOf(points, ({ group }) => drawnOf(group)) : expected;
  const restOf = scaled(expected, weights, stayed(judged, choosing));
  const rest = points.map((point) => restOf(point.judged));
  const best = nearest(points, rest, unit, expected);
  const found = draws ? nearest(points, rest, unit, drawn) : best;
  const front = frontOf(points, drawn);
  const point = points[found];
  const made = {
    index: point ? amongEquals(judged, point, choosing) : -1,
    explored: point?.judged.model !== points[best]?.judged.model,
    propensities: draws ? chances(points, rest, unit, (point as Point).judged.model) : certain(point),
    front: front.map(({ index }) => index),
  };
  return new Choice(made, { judged, groups, drawnOf, restOf, unit });
}

/** The points by objective, as losses. */
type Table = readonly [
  quality: readonly number[],
  cost: readonly number[],
  latency: readonly number[],
  diversity: readonly number[],
];

function tableOf(points: readonly Point[], qualityOf: (point: Point) => number): Table {
  return [
    points.map((point) => -qualityOf(point)),
    points.map(({ judged }) => judged.costUsd),
    points.map(({ judged }) => judged.latencyMs),
    points.map(({ judged }) => -judged.diversity),
  ];
}

function frontOf(points: readonly Point[], table: Table): readonly Point[] {
  return nonDominated(table, [...points.keys()]).map((place) => points[place] as Point);
}

/** The model that it costs something to leave. */
function stayed(judged: readonly Judged[], { stayWith, switchMargin = 0 }: Choosing) {
  const stays = switchMargin > 0 && stayWith !== undefined && judged.some(({ model }) => model === stayWith);
  return { model: stays ? stayWith : undefined, switchMargin };
}

/** The weighted losses of everything but quality, of one candidate. */
function scaled(
  table: Table,
  weights: Preference,
  { model, switchMargin }: ReturnType<typeof stayed>,
): (judged: Judged) => number {
  const front = nonDominated(table, [...table[0].keys()]);
  const [cheapest, dearest] = rangeOf(table[1], front);
  const [fastest, slowest] = rangeOf(table[2], front);
  const [newest] = rangeOf(table[3], front);
  const perUsd = dearest > 0 ? weights.cost / dearest : 0;
  const soon = Math.max(fastest, 1);
  const perLog = weights.latency / Math.max(LATENCY_UNIT, Math.log(Math.max(slowest, 1) / soon));
  return (judged) =>
    perUsd * (judged.costUsd - cheapest) +
    perLog * Math.log(Math.max(judged.latencyMs, 1) / soon) +
    weights.diversity * (-judged.diversity - newest) +
    (model !== undefined && judged.model !== model ? switchMargin : 0);
}

function rangeOf(column: readonly number[], places: readonly number[]): readonly [least: number, most: number] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const place of places) {
    least = Math.min(least, column[place] as number);
    most = Math.max(most, column[place] as number);
  }
  return [least, most];
}

/** @returns a place among the points; -1 when there are none */
function nearest(points: readonly Point[], rest: readonly number[], unit: number, table: Table): number {
  const [quality] = table;
  let first = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let place = 0; place < points.length; place++) {
    const distance = (rest[place] as number) + unit * (quality[place] as number);
    if (first >= 0 && distance > least) continue;
    if (first >= 0 && distance === least && comesAfter(points, table, place, first)) continue;
    first = place;
    least = distance;
  }
  return first;
}

function comesAfter(points: readonly Point[], table: Table, a: number, b: number): boolean {
  return (lexicographic(table, a, b) || byName((points[a] as Point).judged, (points[b] as Point).judged)) > 0;
}

function byName(a: Judged, b: Judged): number {
  if (a.model !== b.model) return a.model < b.model ? -1 : 1;
  return a.node < b.node ? -1 : 1;
}

/** One draw for each model, whatever it is grouped in. */
function drawnQuality(groups: readonly Group[], seed: number): (group: Group) => number {
  const drawn = new Map<Group, number>();
  for (const group of groups) {
    const { mean, sd } = group.quality;
    drawn.set(group, Math.min(1, Math.max(0, mean + sd * gaussian(seeded(seedFor(seed, group.model))))));
  }
  return (group) => drawn.get(group) as number;
}

/** What has been drawn was possible, if hardly. */
const LEAST_CHANCE = 1e-9;
/** More than the finest step of the integration, and far less than any distance that matters. */
const TIE = 4e-9;

/**
 * Of a model's candidates the same one is nearest whatever is drawn, so models compete by that one. A hair's breadth
 * sets apart those that are as near as each other, in the order in which such a tie is decided.
 */
function chances(
  points: readonly Point[],
  rest: readonly number[],
  unit: number,
  drawnModel: string,
): ReadonlyMap<string, number> {
  const [, cost, latency, diversity] = tableOf(points, () => 0);
  const order = [rest, cost, latency, diversity];
  const before = (a: number, b: number) =>
    lexicographic(order, a, b) || byName((points[a] as Point).judged, (points[b] as Point).judged);
  const bests = new Map<Group, number>();
  points.forEach(({ group }, place) => {
    const other = bests.get(group);
    if (other === undefined || before(place, other) < 0) bests.set(group, place);
  });
  const ranked = [...bests.values()].sort(before);
  const contenders = ranked.map((place, rank) => ({
    base: (rest[place] as number) + rank * TIE,
    ...(points[place] as Point).group.quality,
  }));
  const result = new Map<string, number>();
  propensities(contenders, unit).forEach((chance, i) => {
    const { model } = (points[ranked[i] as number] as Point).judged;
    if (chance > 0) result.set(model, chance + (result.get(model) ?? 0));
  });
  if (!result.has(drawnModel)) result.set(drawnModel, LEAST_CHANCE);
  return result;
}

function certain(point: Point | undefined): ReadonlyMap<string, number> {
  return new Map(point ? [[point.judged.model, 1]] : []);
}

function amongEquals(judged: readonly Judged[], { index, group, judged: first }: Point, choosing: Choosing): number {
  const equals = group.members.filter((member) => isEqual(first, judged[member] as Judged));
  if (equals.length === 1) return index;
  equals.sort((a, b) => byName(judged[a] as Judged, judged[b] as Judged));
  return choosing.amongEquals?.(equals) ?? (equals[0] as number);
}
