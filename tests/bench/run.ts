/** npm run bench -- NAME [options] [--json]. Prints figures beside targets; exits 0 when it ran, whatever it found. */
import type { Report } from './report.ts';
import { toJson, toTable } from './report.ts';

const BENCHES: Readonly<Record<string, () => Promise<(args: readonly string[]) => Promise<Report>>>> = {
  relay: async () => (await import('./relay.ts')).relay,
  first: async () => (await import('./first.ts')).first,
  routing: async () => (await import('./routing.ts')).routing,
  decide: async () => (await import('./decide.ts')).decide,
  bandit: async () => (await import('./bandit.ts')).bandit,
  split: async () => (await import('./split.ts')).split,
  overload: async () => (await import('./overload.ts')).overload,
  cache: async () => (await import('./cache.ts')).cache,
  batch: async () => (await import('./batch.ts')).batch,
  swap: async () => (await import('./swap.ts')).swap,
  engines: async () => (await import('./engines.ts')).engines,
};

const [name = '', ...rest] = process.argv.slice(2);
const load = BENCHES[name];
if (!load) {
  console.error(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--json]`);
  process.exit(2);
}
const json = rest.includes('--json');
const bench = await load();
const report = await bench(rest.filter((arg) => arg !== '--json'));
console.log(toTable(report));
if (json) console.log(toJson(report));
