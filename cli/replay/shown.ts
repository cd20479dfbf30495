/** A replay's report for people. */
import type { Tier } from '../../client/index.ts';
import type { ReplayReport } from '../../router/index.ts';
import { tierName } from '../output/names.ts';
import { table } from '../output/table.ts';
import { harmless, style } from '../output/terminal.ts';
import { percent } from '../output/units.ts';

type Figures = ReplayReport['figures'];
type Comparison = NonNullable<Figures[keyof Figures]>;
type Estimate = Comparison['logged'];

interface Kind {
  readonly name: string;
  readonly figure: keyof Figures;
  readonly shown: (value: number) => string;
}

const THOUSAND = 1000;
const digits = new Intl.NumberFormat('en', { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const negative = (value: number, shown: string) => (value < 0 ? `-${shown}` : shown);
const dollars = (usd: number) => negative(usd, `$${digits.format(Math.abs(usd) * THOUSAND)}`);
const seconds = (ms: number) => (Math.abs(ms) < THOUSAND ? `${Math.round(ms)} ms` : `${digits.format(ms / THOUSAND)} s`);

const KINDS: readonly Kind[] = [
  { name: 'cost of 1,000', figure: 'costUsd', shown: dollars },
  { name: 'reward', figure: 'reward', shown: (value) => value.toFixed(3) },
  { name: 'latency', figure: 'latencyMs', shown: seconds },
];

export function shownReport(report: ReplayReport): string {
  const { decisions, oneIn, from, to, policies, warnings } = report;
  const names = policies.map(harmless).join(', ');
  const head = `${decisions.toLocaleString('en')} decisions${oneIn > 1 ? `, one in ${oneIn}` : ''}, ${minute(from)} to ${minute(to)} UTC, under the ${policies.length === 1 ? 'policy' : 'policies'} ${style('bold', names)}`;
  const estimates = KINDS.flatMap((kind) => {
    const comparison = report.figures[kind.figure];
    return comparison ? [{ kind, comparison }] : [];
  });
  const figures =
    estimates.length > 0
      ? [table(COLUMNS, estimates.map(row)), '', table(OTHERS, estimates.map(otherRow))]
      : ['  too few decisions to tell anything'];
  return [head, '', ...figures, '', modelTable(report), '', ...supportOf(report), ...warnings.map(warning)].join('\n');
}

const COLUMNS = [
  { title: 'DOUBLY ROBUST' },
  { title: 'LOGGED', align: 'right' },
  { title: 'POLICY', align: 'right' },
  { title: '95 % INTERVAL', align: 'right' },
  { title: 'CHANGE', align: 'right' },
  { title: '95 % INTERVAL', align: 'right' },
] as const;

interface Line {
  readonly kind: Kind;
  readonly comparison: Comparison;
}

function row({ kind: { name, shown }, comparison: { logged, doublyRobust, change } }: Line): string[] {
  return [
    name,
    shown(logged.value),
    style('bold', shown(doublyRobust.value)),
    interval(doublyRobust, shown),
    shown(change.value),
    interval(change, shown),
  ];
}

const OTHERS = [
  { title: 'BESIDE IT' },
  { title: 'SNIPS', align: 'right' },
  { title: '95 % INTERVAL', align: 'right' },
  { title: 'IPS', align: 'right' },
  { title: '95 % INTERVAL', align: 'right' },
] as const;

function otherRow({ kind: { name, shown }, comparison: { snips, ips } }: Line): string[] {
  return [name, shown(snips.value), interval(snips, shown), shown(ips.value), interval(ips, shown)];
}

function interval({ low, high }: Estimate, shown: (value: number) => string): string {
  return `${shown(low)} to ${shown(high)}`;
}

function modelTable({ models }: ReplayReport): string {
  const columns = [
    { title: 'MODEL' },
    { title: 'TIER' },
    { title: 'LOGGED', align: 'right' },
    { title: 'POLICY', align: 'right' },
  ] as const;
  return table(
    columns,
    models.map(({ model, tier, logged, replayed }) => [
      harmless(model),
      tierName(tier as Tier),
      percent(logged),
      percent(replayed),
    ]),
  );
}

function supportOf({ support: { effectiveDecisions } }: ReplayReport): string[] {
  const count = Math.round(effectiveDecisions).toLocaleString('en');
  return [`The log tells as much about it as ${count} decisions of its own would.`];
}

function warning(text: string): string {
  return `${style('yellow', 'careful:')} ${text}`;
}

/** 2026-11-21T08:00:00.000Z -> 2026-11-21 08:00 */
function minute(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}
