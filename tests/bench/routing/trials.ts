/**
 * What is trained on what, and asked what: every prompt that is asked is one whose question the training never saw. The
 * classifier is handed the prompt and nothing else.
 */
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Classification } from '../../../router/classify/classification.ts';
import { LexicalClassifier } from '../../../router/classify/classifier.ts';
import type { Dataset, Datasets, Row } from '../../../router/train/data.ts';
import { foldsOf, questionsOf } from '../../../router/train/groups.ts';
import { seeded, shuffle } from '../../../router/train/random.ts';
import { train } from '../../../router/train/train.ts';

export interface Data {
  readonly datasets: Datasets;
  readonly rows: readonly Row[];
  /** Per row the number of its question, the same in every data set. */
  readonly questions: Int32Array;
}

export interface Asked {
  readonly row: Row;
  readonly classification: Classification;
}

/** Trains on some rows and asks others; drops of the first what asks the same as one of the others. */
export class Trials {
  readonly data: Data;
  readonly #seed: number;
  readonly #tell: (text: string) => void;

  /** @param tell where to say how far it is */
  constructor(data: Data, seed: number, tell: (text: string) => void) {
    this.data = data;
    this.#seed = seed;
    this.#tell = tell;
  }

  /** Which of the parts each row is in; all rows of a question are in one. */
  parts(count: number): Uint8Array {
    return foldsOf(this.data.questions, count, this.#seed);
  }

  /**
   * @param may rows that training may see
   * @param kept per data set, the models that training may see; all where it has none
   */
  train(label: string, may: (index: number) => boolean, asked: readonly number[], kept: Kept = {}): LexicalClassifier {
    const { rows, questions } = this.data;
    const secret = new Set(asked.map((index) => questions[index]));
    const among = [...rows.keys()].filter((index) => may(index) && !secret.has(questions[index]));
    this.#tell(`training on ${among.length} prompts, asking ${asked.length}: ${label}`);
    const datasets = Object.entries(this.data.datasets).map(([name, dataset]) => [name, withOnly(dataset, kept[name])] as const);
    return new LexicalClassifier(
      train(
        among.map((index) => rowWithOnly(rows[index] as Row, kept)),
        Object.fromEntries(datasets),
        { seed: this.#seed },
      ),
    );
  }

  ask(classifier: LexicalClassifier, indexes: readonly number[]): Asked[] {
    return indexes.map((index) => {
      const row = this.data.rows[index] as Row;
      return { row, classification: classify(classifier, row.prompt) };
    });
  }

  /** Some rows, the same for the same seed. */
  draw(indexes: readonly number[], count: number): number[] {
    return [...shuffle(Int32Array.from(indexes), seeded(this.#seed)).slice(0, count)];
  }
}

/** Per data set, indexes of the models that training may know. */
export type Kept = Readonly<Record<string, readonly number[]>>;

export function gather(datasets: Datasets, rows: readonly Row[]): Data {
  return { datasets, rows, questions: questionsOf(rows) };
}

export function classify(classifier: LexicalClassifier, prompt: string): Classification {
  return classifier.classify({ messages: [{ role: Role.ROLE_USER, text: prompt }] });
}

function withOnly(dataset: Dataset, kept: readonly number[] | undefined): Dataset {
  if (!kept) return dataset;
  const models = kept.map((model) => dataset.models[model] as string);
  return { ...dataset, models, weak: kept.indexOf(dataset.weak), strong: kept.indexOf(dataset.strong) };
}

function rowWithOnly(row: Row, kept: Kept): Row {
  const models = kept[row.pool];
  if (!models) return row;
  const pick = (values: readonly number[]) => models.map((model) => values[model] as number);
  return {
    ...row,
    score: pick(row.score),
    cost: row.cost && pick(row.cost),
    outputTokens: row.outputTokens && pick(row.outputTokens),
  };
}

/** Data sets that share at least one question in 20 of the smaller one are of one kind; per data set those of its own. */
export function kindsOf({ datasets, rows, questions }: Data): Record<string, readonly string[]> {
  const names = Object.keys(datasets);
  const asked = new Map(names.map((name) => [name, new Set<number>()]));
  for (const [index, row] of rows.entries()) asked.get(row.pool)?.add(questions[index] as number);
  const alike = (a: string, b: string) => {
    const [own, other] = [asked.get(a) as Set<number>, asked.get(b) as Set<number>];
    const shared = [...own].filter((question) => other.has(question)).length;
    return a === b || shared >= 0.05 * Math.min(own.size, other.size);
  };
  return Object.fromEntries(names.map((name) => [name, names.filter((other) => alike(name, other))]));
}
