/**
 * Judged candidates as columns of numbers, grouped by model. Pure.
 *
 * The candidates of a model differ only in cost and latency, so within a model the front is one of two objectives; and
 * a point that another of its own model dominates cannot be on the front of all, nor beside it be needed to keep
 * somebody off. So the front of all is found among the models' own points, exactly.
 */
import type { Judged } from './choice.ts';
import { nonDominated } from './pareto.ts';

/** All losses: less is better. */
export interface Columns {
  /** Less the expected quality. */
  readonly quality: Float64Array;
  readonly sd: Float64Array;
  readonly cost: Float64Array;
  readonly latency: Float64Array;
  /** Less the diversity. */
  readonly diversity: Float64Array;
}

/** One model, in so far as its candidates share what is believed of it. */
export interface Group {
  readonly model: string;
  readonly members: readonly number[];
  /** The non-dominated of them, one for all that are equal, by falling latency. */
  readonly points: readonly number[];
}

export function columnsOf(judged: readonly Judged[]): Columns {
  const n = judged.length;
  const [quality, sd, cost] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  const [latency, diversity] = [new Float64Array(n), new Float64Array(n)];
  for (let i = 0; i < n; i++) {
    const one = judged[i] as Judged;
    quality[i] = -one.quality.mean;
    sd[i] = one.quality.sd;
    cost[i] = one.costUsd;
    latency[i] = one.latencyMs;
    diversity[i] = -one.diversity;
  }
  return { quality, sd, cost, latency, diversity };
}

export function groupsOf(judged: readonly Judged[], columns: Columns): readonly Group[] {
  const byModel = new Map<string, number[]>();
  for (let i = 0; i < judged.length; i++) {
    const { model } = judged[i] as Judged;
    const members = byModel.get(model);
    if (members === undefined) byModel.set(model, [i]);
    else if (alike(columns, members[0] as number, i)) members.push(i);
    else addApart(byModel, judged[i] as Judged, i);
  }
  return [...byModel.values()].map((members) => ({
    model: (judged[members[0] as number] as Judged).model,
    members,
    points: pointsOf(columns, members),
  }));
}

function alike({ quality, sd, diversity }: Columns, a: number, b: number): boolean {
  return quality[a] === quality[b] && sd[a] === sd[b] && diversity[a] === diversity[b];
}

/** Nodes that call different things by one name. */
function addApart(byModel: Map<string, number[]>, { model, quality: { mean, sd }, diversity }: Judged, index: number): void {
  const key = `${model} ${mean} ${sd} ${diversity}`;
  const members = byModel.get(key);
  if (members) members.push(index);
  else byModel.set(key, [index]);
}

function pointsOf({ cost, latency }: Columns, members: readonly number[]): readonly number[] {
  const ideal = idealOf(cost, latency, members);
  if (ideal !== undefined) return [ideal];
  const front = nonDominated([cost, latency], members);
  return front.filter(
    (point, i) => !front.slice(0, i).some((other) => cost[other] === cost[point] && latency[other] === latency[point]),
  );
}

/** Mostly the fastest is also the cheapest, and nothing need be sorted. */
function idealOf(cost: Float64Array, latency: Float64Array, members: readonly number[]): number | undefined {
  let leastCost = Number.POSITIVE_INFINITY;
  let leastLatency = Number.POSITIVE_INFINITY;
  let ideal: number | undefined;
  for (const i of members) {
    const [c, l] = [cost[i] as number, latency[i] as number];
    if (c <= leastCost && l <= leastLatency && (c < leastCost || l < leastLatency)) ideal = i;
    else if (c < leastCost || l < leastLatency) ideal = undefined;
    leastCost = Math.min(leastCost, c);
    leastLatency = Math.min(leastLatency, l);
  }
  return ideal;
}
