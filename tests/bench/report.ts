/** What a benchmark found, beside what it should find; as a table for people, or one JSON object. */

export interface Target {
  readonly figure: string;
  readonly most?: number;
  readonly least?: number;
  readonly unit: string;
}

export interface Report {
  readonly name: string;
  /** Named so that name and unit are clear without the table: router_cpu_us_per_token. */
  readonly figures: Readonly<Record<string, number>>;
  readonly targets: readonly Target[];
  /** What was left out, and why. */
  readonly notes: readonly string[];
}

export function met({ figures, targets }: Report): boolean {
  return targets.every((target) => isMet(figures[target.figure], target));
}

function isMet(
  value: number | undefined,
  { most = Number.POSITIVE_INFINITY, least = Number.NEGATIVE_INFINITY }: Target,
): boolean {
  return value !== undefined && value <= most && value >= least;
}

export function toJson(report: Report): string {
  const { name, figures, targets, notes } = report;
  return JSON.stringify({ name, figures, targets, met: met(report), notes });
}

export function toTable({ name, figures, targets, notes }: Report): string {
  const rows = Object.entries(figures).map(([figure, value]) => {
    const target = targets.find((one) => one.figure === figure);
    const goal = target ? goalOf(target) : '';
    return [figure, format(value), goal, target ? (isMet(value, target) ? 'met' : 'missed') : ''];
  });
  const missing = targets
    .filter(({ figure }) => !(figure in figures))
    .map((target) => [target.figure, '-', goalOf(target), 'not measured']);
  const all = [['figure', 'measured', 'target', ''], ...rows, ...missing];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const lines = all.map(([figure = '', value = '', goal = '', verdict = '']) =>
    `${figure.padEnd(widths[0] as number)}  ${value.padStart(widths[1] as number)}  ${goal.padEnd(widths[2] as number)}  ${verdict}`.trimEnd(),
  );
  return [`bench ${name}`, '', ...lines, ...notes.map((note) => `\n${note}`)].join('\n');
}

function goalOf({ most, least, unit }: Target): string {
  return most === undefined ? `>= ${format(least ?? 0)} ${unit}` : `<= ${format(most)} ${unit}`;
}

function format(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 10 ? 1 : 3;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** @param share 0 to 1 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
