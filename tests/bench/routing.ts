/**
 * How well prompts are told apart, and what choosing by that saves: on any folder of scored prompts with a datasets.json.
 * Trains as `npm run train` does, on a part of the folder, and asks the rest; routing/ has the parts.
 */
import { parseArgs } from 'node:util';
import { readDatasets, readRows } from '../../router/train/data.ts';
import type { Report, Target } from './report.ts';
import type { Pairs, Pool } from './routing/experiments.ts';
import { mixed, newModels, unseenKinds, unseenSubjects } from './routing/experiments.ts';
import { mean } from './routing/metrics.ts';
import type { PairResult } from './routing/pairs.ts';
import { pairResult } from './routing/pairs.ts';
import type { PoolResult } from './routing/pools.ts';
import { poolResult } from './routing/pools.ts';
import { microseconds } from './routing/speed.ts';
import { curveTable, pairTable, poolTable } from './routing/tables.ts';
import { gather, Trials } from './routing/trials.ts';

const OPTIONS = {
  data: { type: 'string' },
  /** How many parts the questions are split into, and how many of these are left out and asked, one after another. */
  parts: { type: 'string', default: '4' },
  tested: { type: 'string', default: '1' },
  resamples: { type: 'string', default: '500' },
  seed: { type: 'string', default: '1' },
} as const;

const TARGETS: readonly Target[] = [
  ...leastOf('apgr', {
    routellm_mmlu: 0.66,
    routellm_gsm8k: 0.6,
    mmlu_pro: 0.56,
    routerbench_zs: 0.55,
    zeroeval: 0.66,
    llmrouter: 0.67,
    all_mixed: 0.645,
    unseen_subjects_routellm_mmlu: 0.56,
    unseen_kind_worst: 0.48,
  }),
  { figure: 'cpt50_routellm_mmlu', most: 0.35, unit: 'of calls' },
  { figure: 'cpt80_routellm_mmlu', most: 0.71, unit: 'of calls' },
  ...leastOf('aiq_gain_new_models', { routerbench_zs: 0.015, mmlu_pro: 0.012, zeroeval: 0 }),
  { figure: 'cost_to_match_best_new_models_mmlu_pro', most: 0.7, unit: 'x' },
  { figure: 'classify_us_p50', most: 50, unit: 'us' },
  { figure: 'classify_us_p99', most: 1000, unit: 'us' },
];

function leastOf(measure: string, least: Readonly<Record<string, number>>): Target[] {
  return Object.entries(least).map(([name, value]) => ({ figure: `${measure}_${name}`, least: value, unit: 'share' }));
}

export async function routing(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  if (!values.data) throw new Error('say where the scored prompts are: npm run bench -- routing --data DIR');
  const { data: folder } = values;
  const [parts, tested, resamples] = [values.parts, values.tested, values.resamples].map(Number) as [number, number, number];
  const trials = new Trials(gather(readDatasets(folder), readRows(folder)), Number(values.seed), (text) => console.error(text));

  const known = mixed(trials, parts, tested);
  const withAll: Pairs = new Map([...known.pairs, ['all_mixed', [...known.pairs.values()].flat()]]);
  const tables: [prefix: string, title: string, results: Map<string, PairResult>][] = [
    ['', 'Questions never seen', resultsOf(withAll, resamples)],
    ['unseen_subjects_', 'Subjects never seen', resultsOf(unseenSubjects(trials), resamples)],
    ['unseen_kind_', 'Data sets of a kind never seen', resultsOf(unseenKinds(trials), resamples)],
  ];
  const fresh = poolsOf(newModels(trials, parts, tested), resamples);
  const weights = poolsOf(known.pools, resamples);
  const figures = Object.assign(
    {},
    ...tables.map(([prefix, , results]) => pairFigures(prefix, results)),
    poolFigures('known_models_', weights),
    poolFigures('new_models_', fresh),
    microseconds(known.classifier, known.prompts),
  ) as Record<string, number>;
  const kinds = Object.entries(figures).filter(([name]) => /^apgr_unseen_kind_(?!.*_(?:low|high)$)/.test(name));
  figures.apgr_unseen_kind_worst = Math.min(...kinds.map(([, value]) => value));
  const notes = [
    ...tables.map(([, title, results]) => pairTable(title, results)),
    poolTable('Cost and quality of choosing among models that the weights know: AIQ, and above the zero-router', weights),
    poolTable('The same where half of the models come with 300 scored prompts only', fresh),
    ...[...fresh].map(([name, pools]) => curveTable(name, trials.data.datasets[name]?.models ?? [], pools[0] as PoolResult)),
    'Intervals: percentile bootstrap over the prompts asked. The classifier is handed the prompt only.',
  ];
  return { name: 'routing', figures, targets: TARGETS, notes };
}

function resultsOf(pairs: Pairs, resamples: number): Map<string, PairResult> {
  return new Map([...pairs].map(([name, list]) => [name, pairResult(list, resamples)]));
}

function poolsOf(pools: ReadonlyMap<string, readonly Pool[]>, resamples: number): Map<string, PoolResult[]> {
  return new Map([...pools].map(([name, list]) => [name, list.map(({ offers, known }) => poolResult(offers, known, resamples))]));
}

function pairFigures(prefix: string, results: ReadonlyMap<string, PairResult>): Record<string, number> {
  return Object.fromEntries(
    [...results].flatMap(([name, { ranking, auroc, calibrationError }]) => [
      ...(ranking
        ? [
            [`apgr_${prefix}${name}`, ranking.apgr],
            [`apgr_${prefix}${name}_low`, ranking.interval.low],
            [`apgr_${prefix}${name}_high`, ranking.interval.high],
            [`apgr_length_${prefix}${name}`, ranking.length.apgr],
            [`cpt50_${prefix}${name}`, ranking.cpt50],
            [`cpt80_${prefix}${name}`, ranking.cpt80],
          ]
        : []),
      [`auroc_weak_suffices_${prefix}${name}`, auroc],
      [`calibration_error_${prefix}${name}`, calibrationError],
    ]),
  );
}

/** Means over the parts and halves that were asked. */
function poolFigures(prefix: string, results: ReadonlyMap<string, readonly PoolResult[]>): Record<string, number> {
  const of = (pools: readonly PoolResult[], pick: (pool: PoolResult) => number) => mean(pools.map(pick));
  return Object.fromEntries(
    [...results].flatMap(([name, pools]) => [
      [`aiq_zero_router_${prefix}${name}`, of(pools, ({ zero }) => zero)],
      [`aiq_gain_${prefix}${name}`, of(pools, ({ gains }) => gains.router)],
      [`aiq_gain_${prefix}${name}_low`, of(pools, ({ interval }) => interval.low)],
      [`aiq_gain_${prefix}${name}_high`, of(pools, ({ interval }) => interval.high)],
      [`aiq_gain_by_subject_${prefix}${name}`, of(pools, ({ gains }) => gains.subject)],
      [`cost_to_match_best_${prefix}${name}`, of(pools, ({ costToMatchBest }) => costToMatchBest)],
    ]),
  );
}
