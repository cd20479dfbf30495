/** npm run chaos [-- SCENARIO|FAMILY ...] [--streams N] [--minutes M] [--json] [--list]. Exits 0 when it ran, whatever it found. */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Report } from '../bench/report.ts';
import { toJson, toTable } from '../bench/report.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

const OPTIONS = {
  streams: { type: 'string' },
  minutes: { type: 'string' },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
} as const;

const say = (text: string) => process.stdout.write(`${text}\n`);
const complain = (text: string) => process.stderr.write(`${text}\n`);
const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
const isMeant = ({ name, family }: Scenario, by: string) => name === by || family === by;
const unknown = positionals.filter((by) => !SCENARIOS.some((one) => isMeant(one, by)));
const scale = { streams: numberOf(values.streams), minutes: numberOf(values.minutes) };
if (unknown.length > 0 || Object.values(scale).some(Number.isNaN)) {
  const what = unknown.length > 0 ? `no scenario is named ${unknown.join(', ')}` : '--streams and --minutes are numbers over 0';
  complain(`${what}\nusage: npm run chaos [-- SCENARIO|FAMILY ...] [--streams N] [--minutes M] [--json] [--list]`);
  process.exit(2);
}
if (values.list) {
  for (const { name, does } of SCENARIOS) say(`${name.padEnd(20)} ${does}`);
  process.exit(0);
}

const chosen = positionals.length === 0 ? SCENARIOS : SCENARIOS.filter((one) => positionals.some((by) => isMeant(one, by)));
const reports: Report[] = [];
const broken: string[] = [];
for (const scenario of chosen) {
  complain(`${scenario.name}: ${scenario.does}`);
  const report = await ran(scenario);
  if (!report) continue;
  reports.push(report);
  say(`${toTable(report).replace(/^bench/, 'chaos')}\n`);
}
for (const line of broken) complain(line);
if (values.json) say(toJson(reports.length === 1 ? (reports[0] as Report) : together(reports)));
process.exit(broken.length > 0 ? 1 : 0);

/** A scenario that could not be run to its end is told, and does not keep the others from running. */
async function ran({ name, targets, run }: Scenario): Promise<Report | undefined> {
  // Read before the scenario makes its own: what others do here is in every figure of time.
  const [busy = 0] = loadavg();
  try {
    const { figures, notes = [], skipped } = await run(scale);
    if (skipped !== undefined) say(`chaos ${name}: skipped, ${skipped}\n`);
    return skipped === undefined ? { name, figures: { ...figures, machine_load_before: busy }, targets, notes } : undefined;
  } catch (error) {
    broken.push(`chaos ${name} did not run to its end: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** Of several scenarios one object, whose figures bear the scenario's name before theirs. */
function together(all: readonly Report[]): Report {
  const figures = all.flatMap(({ name, figures }) =>
    Object.entries(figures).map(([figure, value]) => [`${name}.${figure}`, value]),
  );
  const targets = all.flatMap(({ name, targets }) =>
    targets.map((target) => ({ ...target, figure: `${name}.${target.figure}` })),
  );
  const notes = all.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`));
  return { name: 'chaos', figures: Object.fromEntries(figures) as Record<string, number>, targets, notes };
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  return number > 0 ? number : Number.NaN;
}
