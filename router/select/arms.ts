/**
 * Judged candidates grouped by model, and the points among them that can be on a front. Pure.
 *
 * The candidates of a model differ only in cost and latency, so within a model the front is one of two objectives; and
 * a point that another of its own model dominates cannot be on the front of all, nor be needed to keep somebody off. So
 * the front of all is found among the models' own points, exactly, and those are few.
 */
import type { Judged } from './choice.ts';
import { nonDominated } from './pareto.ts';

/** One model, in so far as its candidates share what is believed of it. */
export interface Group {
  readonly model: string;
  readonly quality: Judged['quality'];
  readonly diversity: number;
  /** Places in what is judged. */
  readonly members: number[];
}

export function groupsOf(judged: readonly Judged[]): readonly Group[] {
  const byModel = new Map<string, Group>();
  for (let i = 0; i < judged.length; i++) {
    const one = judged[i] as Judged;
    const group = byModel.get(one.model);
    if (group === undefined) byModel.set(one.model, groupFor(one, i));
    else if (isLike(group, one)) group.members.push(i);
    else addApart(byModel, one, i);
  }
  return [...byModel.values()];
}

function groupFor({ model, quality, diversity }: Judged, index: number): Group {
  return { model, quality, diversity, members: [index] };
}

function isLike(group: Group, { quality, diversity }: Judged): boolean {
  const same = group.quality === quality || (group.quality.mean === quality.mean && group.quality.sd === quality.sd);
  return same && group.diversity === diversity;
}

/** Nodes that call different things by one name. */
function addApart(byModel: Map<string, Group>, one: Judged, index: number): void {
  const key = `${one.model} ${one.quality.mean} ${one.quality.sd} ${one.diversity}`;
  const group = byModel.get(key);
  if (group) group.members.push(index);
  else byModel.set(key, groupFor(one, index));
}

/** A candidate that none of its model dominates; one for all of its model that are equal. */
export interface Point {
  /** Place in what is judged. */
  readonly index: number;
  readonly group: Group;
  readonly judged: Judged;
}

export function pointsOf(judged: readonly Judged[], groups: readonly Group[]): readonly Point[] {
  const points: Point[] = [];
  for (const group of groups) {
    for (const index of frontOf(judged, group.members)) points.push({ index, group, judged: judged[index] as Judged });
  }
  return points;
}

/** Few enough to hold each candidate against; with more of them sorting is sooner done. */
const FEW = 16;

function frontOf(judged: readonly Judged[], members: readonly number[]): readonly number[] {
  let front: number[] = [];
  for (const i of members) {
    const one = judged[i] as Judged;
    let covered = false;
    let covers = false;
    for (const f of front) {
      const other = judged[f] as Judged;
      covered ||= isNoWorse(other, one);
      covers ||= isNoWorse(one, other);
    }
    if (covered) continue;
    if (covers) front = front.filter((f) => !isNoWorse(one, judged[f] as Judged));
    front.push(i);
    if (front.length > FEW) return sortedFrontOf(judged, members);
  }
  return front;
}

function isNoWorse(a: Judged, b: Judged): boolean {
  return a.costUsd <= b.costUsd && a.latencyMs <= b.latencyMs;
}

function sortedFrontOf(judged: readonly Judged[], members: readonly number[]): readonly number[] {
  const costs = members.map((i) => (judged[i] as Judged).costUsd);
  const latencies = members.map((i) => (judged[i] as Judged).latencyMs);
  const front = nonDominated([costs, latencies], [...members.keys()]);
  // On a front of two objectives, who costs the same takes as long.
  const one = new Map(front.toReversed().map((m) => [costs[m], members[m] as number]));
  return [...one.values()];
}
