/** The same requests in the same order for every player, and what each made of them. */
import { median } from '../report.ts';
import type { Player, Turn } from './players.ts';

/** Requests come a second apart, from a fixed moment on, so that every run is the same. */
const START = Date.UTC(2026, 0, 1);
const EVERY_MS = 1000;

/** By turn, what the player's choice was worth. */
export function race(player: Player, turns: readonly Turn[], seed: number): number[] {
  return turns.map((turn, index) => {
    const now = START + index * EVERY_MS;
    const arm = player.choose(turn, now, Math.imul(seed, 1_000_003) + index);
    player.learn(turn, arm, now);
    return turn.worth[arm] as number;
  });
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** By turn, what the arm that is best over all turns is worth: the best that anybody who never switches can do. */
export function bestFixed(turns: readonly Turn[]): number[] {
  const runs = (turns[0] as Turn).worth.map((_, arm) => turns.map(({ worth }) => worth[arm] as number));
  return runs.reduce((best, run) => (sum(run) > sum(best) ? run : best));
}

/** By turn, what the arm that is best in the turn's group is worth: a lookup that knew all rewards beforehand. */
export function bestByGroup(turns: readonly Turn[], groupOf: (turn: Turn) => string): number[] {
  const totals = new Map<string, number[]>();
  for (const turn of turns) {
    const group = totals.get(groupOf(turn)) ?? turn.worth.map(() => 0);
    totals.set(
      groupOf(turn),
      group.map((total, arm) => total + (turn.worth[arm] as number)),
    );
  }
  return turns.map((turn) => {
    const total = totals.get(groupOf(turn)) as number[];
    return turn.worth[total.indexOf(Math.max(...total))] as number;
  });
}

/** By turn, how many of its domain came before it. */
export function placesInDomain(turns: readonly Turn[]): number[] {
  const seen = new Map<string, number>();
  return turns.map(({ context: { domain } }) => {
    const place = seen.get(domain) ?? 0;
    seen.set(domain, place + 1);
    return place;
  });
}

/** What falls behind, turn by turn, at so many points. */
export function regretCurve(best: readonly number[], run: readonly number[], points: number): number[] {
  const curve = [0];
  let regret = 0;
  run.forEach((value, index) => {
    regret += (best[index] as number) - value;
    if (Math.floor(((index + 1) * points) / run.length) > Math.floor((index * points) / run.length)) curve.push(regret);
  });
  return curve;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** Per point of several curves. */
export function spreadOfCurves(curves: readonly (readonly number[])[]): Spread[] {
  return (curves[0] as readonly number[]).map((_, point) => spreadOf(curves.map((curve) => curve[point] as number)));
}
