/** The questions that the benchmark asks: prompts of known data sets, of unseen subjects, of unseen kinds; models unseen. */
import type { LexicalClassifier } from '../../../router/classify/classifier.ts';
import type { ScoredPrompt } from '../../../router/classify/warm.ts';
import { learnModels } from '../../../router/classify/warm.ts';
import type { Dataset, Row } from '../../../router/train/data.ts';
import type { Pair } from './pairs.ts';
import type { Known, Offer } from './pools.ts';
import type { Asked, Trials } from './trials.ts';
import { classify, kindsOf } from './trials.ts';

/** By data set, what came of its prompts. */
export type Pairs = Map<string, Pair[]>;

/** Prompts that come with scores of models that the training never saw. */
const WARM_PROMPTS = 300;
/** Subjects are left out in as many parts; one of them is asked. */
const SUBJECT_PARTS = 4;
/** A data set with fewer is no place to leave subjects out. */
const MANY_SUBJECTS = 30;

export interface Mixed {
  readonly pairs: Pairs;
  /** By data set with costs and many models, what the weights alone expect. */
  readonly pools: Map<string, Pool[]>;
  /** The last one trained, and prompts it never saw. */
  readonly classifier: LexicalClassifier;
  readonly prompts: readonly string[];
}

export interface Pool {
  readonly offers: readonly Offer[];
  readonly known: readonly Known[];
}

/** Trained on all data sets but for a part of each, and asked that part. */
export function mixed(trials: Trials, parts: number, tested: number): Mixed {
  const { rows, datasets } = trials.data;
  const partOf = trials.parts(parts);
  const pairs: Pairs = new Map();
  const pools = new Map<string, Pool[]>();
  let last: { classifier: LexicalClassifier; prompts: readonly string[] } | undefined;
  for (let part = 0; part < tested; part++) {
    const indexes = [...rows.keys()].filter((index) => partOf[index] === part);
    const classifier = trials.train(`part ${part + 1} of ${parts} left out`, (index) => partOf[index] !== part, indexes);
    const asked = trials.ask(classifier, indexes);
    last = { classifier, prompts: asked.map(({ row }) => row.prompt) };
    collect(pairs, asked, classifier, trials);
    for (const name of manyModels(trials)) {
      const { models } = datasets[name] as Dataset;
      const offers = asked
        .filter(({ row }) => row.pool === name)
        .map((one) =>
          offerOf(
            one,
            models.map((model) => classifier.quality(one.classification, model) ?? 0),
            models.map((model) => classifier.costUsd(one.classification, model, one.row.prompt.length) ?? 0),
          ),
        );
      const known = rows.filter((row, index) => row.pool === name && partOf[index] !== part).map(knownOf);
      append(pools, name, { offers, known });
    }
  }
  return { pairs, pools, ...(last as NonNullable<typeof last>) };
}

/** Half of a data set's models are unknown to the weights; all come with some hundred scored prompts. Both halves in turn. */
export function newModels(trials: Trials, parts: number, tested: number): Map<string, Pool[]> {
  const { rows, datasets } = trials.data;
  const partOf = trials.parts(parts);
  const pools = new Map<string, Pool[]>();
  const names = manyModels(trials);
  for (let part = 0; part < tested; part++) {
    for (const half of [0, 1]) {
      const of = (name: string, asked: boolean) =>
        [...rows.keys()].filter((index) => rows[index]?.pool === name && (partOf[index] === part) === asked);
      const warm = new Map(names.map((name) => [name, trials.draw(of(name, false), WARM_PROMPTS)]));
      const indexes = names.flatMap((name) => of(name, true));
      const kept = Object.fromEntries(names.map((name) => [name, halfOf(datasets[name] as Dataset, half)]));
      const label = `part ${part + 1} of ${parts}, half of the models and ${WARM_PROMPTS} prompts for them left out`;
      const classifier = trials.train(label, (index) => partOf[index] !== part, [...indexes, ...[...warm.values()].flat()], kept);
      for (const name of names) {
        const scored = (warm.get(name) as number[]).map((index) => rows[index] as Row);
        const learnt = learnModels(
          (datasets[name] as Dataset).models,
          scored.map((row) => scoredOf(row, classifier)),
          classifier,
        );
        const offers = trials.ask(classifier, of(name, true)).map((one) => {
          const quality = learnt.quality(one.classification) as number[];
          return offerOf(one, quality, learnt.costUsd(one.classification, one.row.prompt.length) as number[]);
        });
        append(pools, name, { offers, known: scored.map(knownOf) });
      }
    }
  }
  return pools;
}

/** Trained without some subjects of a data set that has many, and asked only these. */
export function unseenSubjects(trials: Trials): Pairs {
  const { rows } = trials.data;
  const pairs: Pairs = new Map();
  for (const [name, own] of Object.entries(Object.groupBy(rows, ({ pool }) => pool))) {
    const subjects = [...new Set((own ?? []).map(({ subject }) => subject))].toSorted();
    if (subjects.length < MANY_SUBJECTS) continue;
    const order = trials.draw([...subjects.keys()], subjects.length);
    const unseen = new Set(order.filter((_, at) => at % SUBJECT_PARTS === 0).map((at) => subjects[at] as string));
    const indexes = [...rows.keys()].filter((index) => rows[index]?.pool === name && unseen.has(rows[index]?.subject as string));
    const classifier = trials.train(`${unseen.size} of ${subjects.length} subjects of ${name} left out`, () => true, indexes);
    collect(pairs, trials.ask(classifier, indexes), classifier, trials);
  }
  return pairs;
}

/** Trained without a data set and without all that share questions with it, and asked it. */
export function unseenKinds(trials: Trials): Pairs {
  const { rows } = trials.data;
  const pairs: Pairs = new Map();
  const kinds = new Map(Object.values(kindsOf(trials.data)).map((names) => [names.join(', '), names]));
  for (const [label, names] of kinds) {
    const among = (index: number) => names.includes(rows[index]?.pool as string);
    const indexes = [...rows.keys()].filter(among);
    const classifier = trials.train(`all of ${label} left out`, (index) => !among(index), indexes);
    collect(pairs, trials.ask(classifier, indexes), classifier, trials);
  }
  return pairs;
}

/** Data sets whose curve says something: more than two models, with costs. */
function manyModels({ data: { datasets, rows } }: Trials): string[] {
  const priced = new Set(rows.filter(({ cost }) => cost).map(({ pool }) => pool));
  return Object.keys(datasets).filter((name) => priced.has(name) && (datasets[name] as Dataset).models.length > 2);
}

/** The weak and the strong model and every other one of the rest. */
function halfOf({ models, weak, strong }: Dataset, half: number): number[] {
  const others = [...models.keys()].filter((model) => model !== weak && model !== strong);
  return [...models.keys()].filter((model) => !others.includes(model) || others.indexOf(model) % 2 === half);
}

function collect(pairs: Pairs, asked: readonly Asked[], classifier: LexicalClassifier, { data }: Trials): void {
  for (const { row, classification } of asked) {
    const { models, weak, strong } = data.datasets[row.pool] as Dataset;
    append(pairs, row.pool, {
      rank: classification.rank,
      suffices: classifier.quality(classification, models[weak] as string) ?? classification.suffices.fast,
      promptChars: row.prompt.length,
      weak: row.score[weak] as number,
      strong: row.score[strong] as number,
    });
  }
}

function scoredOf(row: Row, classifier: LexicalClassifier): ScoredPrompt {
  const classification = classify(classifier, row.prompt);
  return { classification, promptChars: row.prompt.length, scores: row.score, costs: row.cost as readonly number[] };
}

function offerOf({ row }: Asked, quality: readonly number[], usd: readonly number[]): Offer {
  return { ...knownOf(row), prompt: row.prompt, quality, usd };
}

function knownOf({ subject, score, cost }: Row): Known {
  return { subject, scores: score, costs: cost as readonly number[] };
}

function append<T>(to: Map<string, T[]>, name: string, value: T): void {
  const list = to.get(name);
  if (list) list.push(value);
  else to.set(name, [value]);
}
