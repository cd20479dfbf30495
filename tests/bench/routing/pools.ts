/** Cost against quality of a chooser among many models, beside every static one, random, length, subject and the oracle. */

import { seeded } from '../../../router/train/random.ts';
import type { Interval } from './bootstrap.ts';
import { bootstrap } from './bootstrap.ts';
import type { Point, Range } from './hull.ts';
import { aiq, costOf, hullOf, rangeOf } from './hull.ts';

/** One prompt that nobody had seen, with what every model made of it and what was expected of each. */
export interface Offer {
  readonly prompt: string;
  readonly subject: string;
  /** By model: what came. */
  readonly scores: readonly number[];
  readonly costs: readonly number[];
  /** By model: what was expected. */
  readonly quality: readonly number[];
  readonly usd: readonly number[];
}

/** Scored prompts that a lookup by subject may learn from. */
export type Known = Pick<Offer, 'subject' | 'scores' | 'costs'>;

export interface PoolResult {
  readonly rows: number;
  readonly statics: readonly Point[];
  /** Of each chooser, cheapest first. */
  readonly curves: Readonly<Record<Chooser, readonly Point[]>>;
  readonly zero: number;
  /** AIQ above the zero-router's. */
  readonly gains: Readonly<Record<Chooser, number>>;
  readonly interval: Interval;
  /** Cost at which the router matches the best single model, as a share of that model's; NaN if it never does. */
  readonly costToMatchBest: number;
  readonly costInterval: Interval;
}

export const CHOOSERS = ['router', 'random', 'length', 'subject', 'oracle'] as const;
export type Chooser = (typeof CHOOSERS)[number];

/** For each weight of cost, the model it chooses for each row. */
type Choices = readonly Uint8Array[];

const STEPS = 60;

export function poolResult(offers: readonly Offer[], known: readonly Known[], resamples: number): PoolResult {
  const models = [...(offers[0] as Offer).scores.keys()];
  const fixed: Choices = models.map((model) => new Uint8Array(offers.length).fill(model));
  const statics = pointsOf(offers, fixed);
  const choices: Record<Chooser, Choices> = {
    router: weighed(
      offers,
      ({ quality }) => quality,
      ({ usd }) => usd,
    ),
    random: ordered(offers, statics, seeded(1)),
    length: ordered(offers, statics, ({ prompt }) => prompt.length),
    subject: bySubject(offers, known),
    oracle: weighed(
      offers,
      ({ scores }) => scores,
      ({ costs }) => costs,
    ),
  };
  const zero = aiq(hullOf(statics), rangeOf(statics));
  const curveOf = (name: Chooser) => hullOf(pointsOf(offers, choices[name]));
  const curves = perChooser(curveOf);
  return {
    rows: offers.length,
    statics,
    curves,
    zero,
    gains: perChooser((name) => aiq(curves[name], rangeOf(statics)) - zero),
    interval: bootstrap(offers.length, resamples, (counts) => gainOf(offers, fixed, choices.router, counts)),
    costToMatchBest: matchOf(statics, curves.router),
    costInterval: bootstrap(offers.length, resamples, (counts) =>
      matchOf(pointsOf(offers, fixed, counts), hullOf(pointsOf(offers, choices.router, counts))),
    ),
  };
}

function perChooser<T>(make: (name: Chooser) => T): Record<Chooser, T> {
  return Object.fromEntries(CHOOSERS.map((name) => [name, make(name)])) as Record<Chooser, T>;
}

function gainOf(offers: readonly Offer[], fixed: Choices, router: Choices, counts: Uint16Array): number {
  const statics = pointsOf(offers, fixed, counts);
  const range: Range = rangeOf(statics);
  return aiq(hullOf(pointsOf(offers, router, counts)), range) - aiq(hullOf(statics), range);
}

function matchOf(statics: readonly Point[], curve: readonly Point[]): number {
  const best = statics.toSorted((a, b) => b.quality - a.quality || a.cost - b.cost)[0] as Point;
  return costOf(curve, best.quality) / best.cost;
}

/** The model of the greatest quality less cost, for weights of cost from nothing to everything. */
function weighed(
  offers: readonly Offer[],
  qualityOf: (offer: Offer) => readonly number[],
  costsOf: (offer: Offer) => readonly number[],
): Choices {
  const costs = offers.flatMap((offer) => costsOf(offer)).filter((cost) => cost > 0);
  const scale = costs.reduce((total, cost) => total + cost, 0) / costs.length;
  // Of the mean cost: from a ten-thousandth of a point of quality to ten thousand.
  const weights = Array.from({ length: STEPS }, (_, step) => 10 ** (-4 + (8 * step) / (STEPS - 1)) / scale);
  return [0, ...weights].map((weight) => Uint8Array.from(offers, (offer) => best(qualityOf(offer), costsOf(offer), weight)));
}

/** Of equals the cheaper. */
function best(quality: readonly number[], costs: readonly number[], weight: number): number {
  const value = (model: number) => (quality[model] as number) - weight * (costs[model] as number);
  return [...quality.keys()].reduce((a, b) => {
    const difference = value(b) - value(a);
    return difference > 0 || (difference === 0 && (costs[b] as number) < (costs[a] as number)) ? b : a;
  });
}

/** Between the zero-router's cheapest and its best model: those first in the order go to the best. */
function ordered(offers: readonly Offer[], statics: readonly Point[], keyOf: (offer: Offer) => number): Choices {
  const hull = hullOf(statics);
  const [cheap, good] = [statics.indexOf(hull[0] as Point), statics.indexOf(hull.at(-1) as Point)];
  const keys = offers.map(keyOf);
  const order = [...offers.keys()].sort((a, b) => (keys[b] as number) - (keys[a] as number));
  return Array.from({ length: STEPS + 1 }, (_, step) => {
    const choice = new Uint8Array(offers.length).fill(cheap);
    for (const index of order.slice(0, Math.round((step * offers.length) / STEPS))) choice[index] = good;
    return choice;
  });
}

/** Means of each subject stand in for what is expected; those of all for a subject that is not known. */
function bySubject(offers: readonly Offer[], known: readonly Known[]): Choices {
  const all = meansOf(known);
  const means = new Map([...Map.groupBy(known, ({ subject }) => subject)].map(([subject, rows]) => [subject, meansOf(rows)]));
  const looked = (offer: Offer) => means.get(offer.subject) ?? all;
  return weighed(
    offers,
    (offer) => looked(offer).scores,
    (offer) => looked(offer).costs,
  );
}

function meansOf(rows: readonly Known[]): Pick<Known, 'scores' | 'costs'> {
  const meanOf = (valuesOf: (row: Known) => readonly number[]) =>
    valuesOf(rows[0] as Known).map(
      (_, model) => rows.reduce((total, row) => total + (valuesOf(row)[model] as number), 0) / rows.length,
    );
  return { scores: meanOf(({ scores }) => scores), costs: meanOf(({ costs }) => costs) };
}

function pointsOf(offers: readonly Offer[], choices: Choices, counts?: Uint16Array): Point[] {
  return choices.map((choice) => {
    let [cost, quality, rows] = [0, 0, 0];
    for (let row = 0; row < choice.length; row++) {
      const count = counts ? (counts[row] as number) : 1;
      const { costs, scores } = offers[row] as Offer;
      const model = choice[row] as number;
      cost += count * (costs[model] as number);
      quality += count * (scores[model] as number);
      rows += count;
    }
    return { cost: cost / rows, quality: quality / rows };
  });
}
