/** The benchmark's results as tables for people. */
import type { Interval } from './bootstrap.ts';
import type { PairResult } from './pairs.ts';
import type { Chooser, PoolResult } from './pools.ts';
import { CHOOSERS } from './pools.ts';

export function pairTable(title: string, results: ReadonlyMap<string, PairResult>): string {
  const head = [
    '',
    'prompts',
    'gap',
    'APGR',
    '95 %',
    'CPT50',
    'CPT80',
    'length APGR',
    '95 %',
    'CPT50',
    'CPT80',
    'oracle APGR',
    'AUROC',
    'ECE',
  ];
  const rows = [...results].map(([name, { rows: count, gap, ranking, auroc, calibrationError }]) => {
    const start = [name, String(count), digits(gap)];
    const end = [digits(auroc), digits(calibrationError)];
    if (!ranking) return [...start, 'gap too small', ...Array(7).fill(''), '', ...end];
    const { length, oracle } = ranking;
    return [
      ...start,
      digits(ranking.apgr),
      between(ranking.interval),
      percent(ranking.cpt50),
      percent(ranking.cpt80),
      digits(length.apgr),
      between(length.interval),
      percent(length.cpt50),
      percent(length.cpt80),
      digits(oracle.apgr),
      ...end,
    ];
  });
  return aligned(`${title}; random and the zero-router have APGR .500, CPT50 50 %, CPT80 80 %`, [head, ...rows]);
}

export function poolTable(title: string, results: ReadonlyMap<string, readonly PoolResult[]>): string {
  const head = [
    '',
    'prompts',
    'zero-router AIQ',
    ...CHOOSERS.map((name) => `${name} +`),
    '95 % of router',
    'cost to match the best',
    '95 %',
  ];
  const rows = [...results].flatMap(([name, pools]) =>
    pools.map((pool) => [
      name,
      String(pool.rows),
      digits(pool.zero),
      ...CHOOSERS.map((chooser) => digits(pool.gains[chooser], 4)),
      between(pool.interval, 4),
      digits(pool.costToMatchBest),
      between(pool.costInterval),
    ]),
  );
  return aligned(title, [head, ...rows]);
}

/** The points of each chooser's hull, and every model by itself. */
export function curveTable(name: string, models: readonly string[], { statics, curves }: PoolResult): string {
  const point = ({ cost, quality }: { cost: number; quality: number }) => `${(cost * 1000).toPrecision(3)}:${digits(quality)}`;
  const thinned = (chooser: Chooser) =>
    curves[chooser].filter((_, at, all) => at % Math.ceil(all.length / 8) === 0 || at === all.length - 1);
  const lines = [
    ...models.map((model, index) => [model, statics[index] ? point(statics[index]) : '']),
    ...CHOOSERS.map((chooser) => [`[${chooser}]`, thinned(chooser).map(point).join('  ')]),
  ];
  return aligned(`${name}: US dollars per 1,000 prompts : mean score`, lines);
}

function aligned(title: string, rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const last = widths.length - 1;
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 || column === last ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  return [title, ...lines.map((line) => `  ${line}`)].join('\n');
}

function between({ low, high }: Interval, places = 3): string {
  return `${digits(low, places)} to ${digits(high, places)}`;
}

function digits(value: number, places = 3): string {
  return Number.isFinite(value) ? value.toFixed(places) : '-';
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
