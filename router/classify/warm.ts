/**
 * What some hundred scored prompts teach of models, whether the training data knew them or not. Pure; the same prompts
 * give the same fit.
 *
 * A row's scores are taken apart: how well the models do on it on average, and how far each is from that average. The
 * first says how hard the prompt is and is noisy; the second decides between models, and the noise that they share is
 * gone from it. Each is fitted on the prompt's factors by least squares that pull every slope towards zero, for a model
 * that the weights know towards part of what they say of it. How strongly is the same for all models that share
 * prompts, and follows from how well prompts that were left out are told.
 */
import type { Classification, Classifier } from './classification.ts';
import { logit } from './factors.ts';
import type { Design, Fit } from './ridge.ts';
import { designOf, mixed, predicted, ridge } from './ridge.ts';
import type { WarmCosts } from './warm-cost.ts';
import { learnCosts } from './warm-cost.ts';

export interface ScoredPrompt {
  readonly classification: Classification;
  readonly promptChars: number;
  /** By model, 0 to 1; undefined where nobody scored it. */
  readonly scores: readonly (number | undefined)[];
  /** By model, in US dollars. */
  readonly costs: readonly (number | undefined)[];
}

/** A classifier that tells whom it knows. */
export interface Knowing extends Classifier {
  readonly knownModels: readonly string[];
}

export interface WarmModels {
  readonly names: readonly string[];
  /** By model, 0 to 1; undefined for one without scored prompts. */
  quality(classification: Classification): (number | undefined)[];
  /** By model, in US dollars; undefined for one without costs. */
  costUsd(classification: Classification, promptChars: number): (number | undefined)[];
  /** Per scored prompt and model, the quality expected by the fit without that prompt. */
  readonly leftOut: readonly (readonly (number | undefined)[])[];
}

/** Factors, and how far they reach at most: a prompt unlike any other must not be told by extrapolation. */
const FURTHEST = 3;

/** How far the slopes of each part may go, in units of the noise. */
const COMMON_SCALES = [0.1, 0.4];
const FACTOR_SCALES = [0.03, 0.06, 0.12, 0.25, 1, 4];
/** How much of what the weights say of a model is believed. */
const TRUST = [0, 0.25, 0.5, 0.75];
/** Squared misses below which fits are alike. */
const NO_NOISE = 1e-9;

/** @param names of the models, in the order of the scores and costs */
export function learnModels(names: readonly string[], prompts: readonly ScoredPrompt[], classifier: Knowing): WarmModels {
  const groups = groupsOf(names, prompts).map((group) => new Group(group, names, classifier));
  const costs: WarmCosts = learnCosts(names.length, prompts);
  return {
    names,
    quality: (classification) => {
      const qualities: (number | undefined)[] = names.map(() => undefined);
      for (const group of groups) group.quality(classification, qualities);
      return qualities;
    },
    costUsd: costs.costUsd,
    leftOut: leftOutOf(names, prompts, groups),
  };
}

function leftOutOf(
  names: readonly string[],
  prompts: readonly ScoredPrompt[],
  groups: readonly Group[],
): (number | undefined)[][] {
  const qualities = new Map(prompts.map((prompt) => [prompt, names.map((): number | undefined => undefined)]));
  for (const group of groups) group.leftOut(qualities);
  return [...qualities.values()];
}

interface Scored {
  readonly models: readonly number[];
  readonly prompts: readonly ScoredPrompt[];
}

/** Models that the same prompts have scores of; only these can be compared row by row. */
function groupsOf(names: readonly string[], prompts: readonly ScoredPrompt[]): Scored[] {
  const rowsOf = (model: number) => prompts.flatMap(({ scores }, row) => (scores[model] === undefined ? [] : [row])).join();
  return [...Map.groupBy(names.keys(), rowsOf)]
    .filter(([rows]) => rows !== '')
    .map(([, models]) => ({
      models,
      prompts: prompts.filter(({ scores }) => scores[models[0] as number] !== undefined),
    }));
}

/** A model of a group. */
interface Member {
  readonly model: number;
  readonly name: string;
  readonly known: boolean;
}

class Group {
  readonly #prompts: readonly ScoredPrompt[];
  readonly #classifier: Knowing;
  /** What stands for the group's average: its known models, or where there is none all that the weights know. */
  readonly #reference: readonly string[];
  readonly #design: Design;
  readonly #average: Fit;
  readonly #known: Deviations;
  readonly #fresh: Deviations;

  constructor({ models, prompts }: Scored, names: readonly string[], classifier: Knowing) {
    this.#prompts = prompts;
    this.#classifier = classifier;
    const first = (prompts[0] as ScoredPrompt).classification;
    const all: Member[] = models.map((model) => {
      const name = names[model] as string;
      return { model, name, known: classifier.quality(first, name) !== undefined };
    });
    const known = all.filter((member) => member.known);
    this.#reference = known.length > 0 ? known.map(({ name }) => name) : classifier.knownModels;
    const seen = prompts.map(({ classification }) => classification);
    this.#design = designOf(seen.map((one) => featuresOf(one, this.#hardness(one))));
    const averages = prompts.map(({ scores }) => meanOf(models.map((model) => scores[model] as number)));
    const missed = Float64Array.from(averages, (average, row) => average - this.#hardness(seen[row] as Classification));
    this.#average = averaged(this.#design, () => [missed], [0]).fit;
    const deviations = (members: readonly Member[], trusts: readonly number[]): Deviations => {
      const said = members.map((member) => seen.map((one) => this.#said(one, member)));
      const target = (trust: number) =>
        members.map(({ model }, index) =>
          Float64Array.from(
            prompts,
            ({ scores }, row) => (scores[model] as number) - (averages[row] as number) - trust * (said[index]?.[row] as number),
          ),
        );
      return { members, ...averaged(this.#design, target, trusts) };
    };
    this.#known = deviations(known, TRUST);
    this.#fresh = deviations(
      all.filter((member) => !member.known),
      [0],
    );
  }

  /** Writes what is expected of its models into `into`. */
  quality(classification: Classification, into: (number | undefined)[]): void {
    const hardness = this.#hardness(classification);
    const features = featuresOf(classification, hardness);
    const average = hardness + predicted(this.#design, this.#average, 0, features);
    for (const { members, fit, trust } of [this.#known, this.#fresh]) {
      for (const [index, member] of members.entries()) {
        const said = trust === 0 ? 0 : trust * this.#said(classification, member);
        into[member.model] = bounded(average + said + predicted(this.#design, fit, index, features));
      }
    }
  }

  /** Writes what was expected of its models by fits without the prompt, for each of its prompts. */
  leftOut(into: ReadonlyMap<ScoredPrompt, (number | undefined)[]>): void {
    for (const [row, prompt] of this.#prompts.entries()) {
      const { classification } = prompt;
      const average = this.#hardness(classification) + leftOutAt(this.#average, 0, row);
      for (const { members, fit, trust } of [this.#known, this.#fresh])
        for (const [index, member] of members.entries())
          (into.get(prompt) as (number | undefined)[])[member.model] = bounded(
            average + trust * this.#said(classification, member) + leftOutAt(fit, index, row),
          );
    }
  }

  #hardness(classification: Classification): number {
    if (this.#reference.length === 0) return 0.5;
    return meanOf(this.#reference.map((name) => this.#classifier.quality(classification, name) ?? 0.5));
  }

  /** How far above the average the weights expect a model; 0 for one that they do not know. */
  #said(classification: Classification, { name, known }: Member): number {
    if (!known) return 0;
    return (this.#classifier.quality(classification, name) as number) - this.#hardness(classification);
  }
}

interface Deviations {
  readonly members: readonly Member[];
  readonly fit: Fit;
  readonly trust: number;
}

function leftOutAt(fit: Fit, target: number, row: number): number {
  return fit.leftOut[target]?.[row] as number;
}

/**
 * The fits of all scales and trusts, averaged: each counts by how likely it makes the prompts that were left out. One
 * fit alone would be chosen by little more than chance.
 */
function averaged(
  design: Design,
  targetsFor: (trust: number) => Float64Array[],
  trusts: readonly number[],
): { fit: Fit; trust: number } {
  const tried = trusts.flatMap((trust) => {
    const targets = targetsFor(trust);
    return COMMON_SCALES.flatMap((common) =>
      FACTOR_SCALES.map((factors) => ({ trust, fit: ridge(design, scalesOf(design.columns, common, factors), targets) })),
    );
  });
  const least = Math.min(...tried.map(({ fit }) => fit.error));
  // How likely under normal noise of the best fit's size.
  const misses = ({ error }: Fit) => design.rows * ((error + NO_NOISE) / (least + NO_NOISE) - 1);
  const shares = tried.map(({ fit }) => Math.exp(-misses(fit) / 2));
  const total = shares.reduce((sum, share) => sum + share, 0);
  const weighed = tried.map((one, index) => ({ ...one, share: (shares[index] as number) / total }));
  return {
    fit: mixed(weighed),
    trust: weighed.reduce((sum, { trust, share }) => sum + trust * share, 0),
  };
}

function scalesOf(columns: number, common: number, factors: number): Float64Array {
  const scales = new Float64Array(columns).fill(factors / Math.sqrt(columns));
  scales[0] = common;
  return scales;
}

/** How hard it is for the models that are known, then the prompt's factors. */
function featuresOf({ factors }: Classification, hardness: number): Float64Array {
  const features = new Float64Array(factors.length + 1);
  features[0] = logit(hardness);
  for (let at = 0; at < factors.length; at++) features[at + 1] = Math.min(FURTHEST, Math.max(-FURTHEST, factors[at] as number));
  return features;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

/** Into (0, 1) without making two alike: the outer tenths give way more and more. */
function bounded(quality: number): number {
  if (quality > 0.9) return 0.9 + 0.1 * Math.tanh((quality - 0.9) / 0.1);
  if (quality < 0.1) return 0.1 + 0.1 * Math.tanh((quality - 0.1) / 0.1);
  return quality;
}
