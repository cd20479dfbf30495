/** The linear heads, and per row what heads say to it that never saw its question: what the trees learn from. */
import { MIXTURE_AT } from '../classify/features.ts';
import type { Heads } from '../classify/heads.ts';
import { applyHeads } from '../classify/heads.ts';
import type { SubjectMeans } from '../classify/mixture.ts';
import { DOMAIN_HEADS, mix, mixtureSize } from '../classify/mixture.ts';
import { SHAPES } from '../classify/shape.ts';
import type { Datasets, Row } from './data.ts';
import type { Prepared } from './prepare.ts';
import type { DescentOptions } from './sparse.ts';
import { quantised, trainLogistic, trainSoftmax } from './sparse.ts';
import { domainOfSubject } from './subjects.ts';
import type { Targets } from './targets.ts';
import { classesOf, pairTargets } from './targets.ts';

const SOFTMAX: Omit<DescentOptions, 'seed'> = { epochs: 5, rate: 1, decay: 1e-5, damping: 1e-4 };
const LOGISTIC: Omit<DescentOptions, 'seed'> = { epochs: 5, rate: 0.1, decay: 1e-4, damping: 1e-2 };
/** Of the mean of all, in the mean of a class. */
const PRIOR_ROWS = 10;
const MANY_DOMAINS = 255;

export interface Stack {
  readonly heads: Heads;
  readonly means: SubjectMeans;
  /** Rows x `columns`, as the trees see a text. */
  readonly dense: Float32Array;
  readonly columns: number;
}

export function stack(
  rows: readonly Row[],
  datasets: Datasets,
  { shape, sparse }: Prepared,
  targets: Targets,
  folds: Uint8Array,
  seed: number,
): Stack {
  const pools = Object.keys(datasets).toSorted();
  const { label, names: classes } = classesOf(rows);
  const pairs = pairTargets(rows, datasets, pools);
  const names = [...classes.map((name) => `subject:${name}`), ...pools.flatMap((pool) => [`weak:${pool}`, `strong:${pool}`])];
  const headsOf = (among: Int32Array): Heads =>
    quantised(
      [
        trainSoftmax(sparse, among, label, classes.length, { ...SOFTMAX, seed }),
        trainLogistic(sparse, among, pairs, 2 * pools.length, { ...LOGISTIC, seed }),
      ],
      names,
      sparse.importance,
    );
  const means = meansOf(label, classes, pools, targets);
  const columns = MIXTURE_AT + mixtureSize(means);
  const dense = new Float32Array(rows.length * columns);
  const logits = new Float32Array(names.length);
  const everyone = Int32Array.from(rows, (_, index) => index);
  const count = folds.reduce((most, fold) => Math.max(most, fold + 1), 0);
  for (let fold = 0; fold < count; fold++) {
    const heads = headsOf(everyone.filter((row) => folds[row] !== fold));
    for (const row of everyone) {
      if (folds[row] !== fold) continue;
      applyHeads(heads, sparse.rows, sparse.halves, sparse.offsets[row] as number, sparse.offsets[row + 1] as number, logits, 0);
      dense.set(shape.subarray(row * SHAPES.length, (row + 1) * SHAPES.length), row * columns);
      mix(means, logits, 0, dense, row * columns + MIXTURE_AT);
    }
  }
  return { heads: headsOf(everyone), means, dense, columns };
}

function meansOf(label: Int32Array, classes: readonly string[], pools: readonly string[], targets: Targets): SubjectMeans {
  const meanOf = (values: Float64Array): Float32Array => {
    const known = values.filter((value) => !Number.isNaN(value));
    const all = known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
    const sums = new Float64Array(classes.length).fill(PRIOR_ROWS * all);
    const counts = new Float64Array(classes.length).fill(PRIOR_ROWS);
    for (const [row, at] of label.entries()) {
      if (Number.isNaN(values[row] as number)) continue;
      sums[at] = (sums[at] as number) + (values[row] as number);
      counts[at] = (counts[at] as number) + 1;
    }
    return Float32Array.from(sums, (sum, at) => sum / (counts[at] as number));
  };
  const parts = classes.map((name) => name.split('/') as [string, string]);
  return {
    gain: meanOf(targets.gain),
    small: meanOf(targets.small),
    strong: meanOf(targets.strong),
    domain: Uint8Array.from(parts, ([, subject]) => {
      const domain = domainOfSubject(subject);
      return domain === undefined || domain === 'story' ? MANY_DOMAINS : DOMAIN_HEADS.indexOf(domain);
    }),
    pool: Uint8Array.from(parts, ([pool]) => pools.indexOf(pool)),
    pools,
  };
}
