/**
 * What requests notice of models that are swapped under them: by turns a while without swaps and a while with one after
 * the other, at a fixed rate of requests. Once with an engine that replays tokens, so that what is measured is the mesh's
 * own part, and once with two versions of the bundled model on llama.cpp, where loading and warming up take cores as well.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Fault, Mesh } from '../../client/index.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import { twoVersions } from '../support/versions.ts';
import type { Report, Target } from './report.ts';
import { median, percentile } from './report.ts';

const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  /** Of each half of a round. */
  seconds: { type: 'string', default: '10' },
  /** Requests per second: of the replayed model, and of llama.cpp. */
  rate: { type: 'string', default: '40' },
  'llama-rate': { type: 'string', default: '2' },
} as const;

const TOKENS = 20;
/** Between a swap and the next. */
const PAUSE_MS = 250;
const DRAIN_MS = 10_000;

interface Load {
  readonly rounds: number;
  readonly seconds: number;
  readonly rate: number;
  /** Absent: whoever answers. */
  readonly model?: string;
  /** Swapped for each other by turns. */
  readonly names: readonly [string, string];
}

/** Of one half of a round: how long answers took, in milliseconds, and why there was none. */
interface Half {
  readonly ms: number[];
  readonly faults: string[];
}

export async function swap(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const replayed = await replay({ rounds, seconds, rate: Number(values.rate) });
  const generated = await llama({ rounds, seconds, rate: Number(values['llama-rate']) });
  return {
    name: 'swap',
    figures: { ...prefixed('replay', replayed.figures), ...prefixed('llama_cpp', generated.figures) },
    targets: ['replay', 'llama_cpp'].flatMap((name): Target[] => [
      { figure: `${name}_errors`, most: 0, unit: 'requests' },
      { figure: `${name}_added_p99`, most: 0.1, unit: 'of the quiet p99' },
    ]),
    notes: [...replayed.faults, ...generated.faults],
  };
}

type Sizes = Omit<Load, 'names'>;

async function replay(sizes: Sizes) {
  const node = { engine: 'replay', model: 'one', replay: 'rate=100', slots: 64, flags: ['--on-demand', 'other'] } as const;
  await using mesh = await startMesh({ nodes: [node], connect: { apiKey: TOKEN, failover: false } });
  return await measure(mesh.client, { ...sizes, names: ['one', 'other'] });
}

async function llama(sizes: Sizes) {
  using versions = twoVersions();
  const { model, names, env } = versions;
  await using mesh = await startMesh({
    nodes: [{ model, env, threads: 1, slots: 4 }],
    connect: { apiKey: TOKEN, failover: false },
  });
  const [node] = await mesh.client.nodes();
  // The one that is there goes first.
  const there = versions.digests.indexOf(node?.models[0]?.digest ?? '') === 1;
  return await measure(mesh.client, { ...sizes, model, names: there ? [names[1], names[0]] : names });
}

async function measure(mesh: Mesh, load: Load) {
  const quiet: Half[] = [];
  const swapped: Half[] = [];
  const swaps: number[] = [];
  await half(mesh, { ...load, seconds: 1 });
  for (let round = 0; round < load.rounds; round++) {
    quiet.push(await half(mesh, load));
    const stop = swapping(mesh, load.names, swaps);
    swapped.push(await half(mesh, load));
    await stop();
  }
  const faults = [...quiet, ...swapped].flatMap((one) => one.faults);
  const ratios = quiet.map((one, i) => percentile((swapped[i] as Half).ms, 0.99) / percentile(one.ms, 0.99));
  const all = (halves: readonly Half[], share: number) =>
    percentile(
      halves.flatMap(({ ms }) => ms),
      share,
    );
  return {
    faults: [...new Set(faults)],
    figures: {
      requests: [...quiet, ...swapped].reduce((sum, { ms }) => sum + ms.length, 0),
      swaps: swaps.length,
      swap_median_ms: median(swaps),
      errors: faults.length,
      quiet_p50_ms: all(quiet, 0.5),
      swap_p50_ms: all(swapped, 0.5),
      quiet_p99_ms: all(quiet, 0.99),
      swap_p99_ms: all(swapped, 0.99),
      // Of rounds, whose halves see the same machine.
      added_p99: median(ratios) - 1,
    },
  };
}

/** Requests at a fixed rate, whatever becomes of those before. */
async function half(mesh: Mesh, { seconds, rate, model }: Pick<Load, 'seconds' | 'rate' | 'model'>): Promise<Half> {
  const found: Half = { ms: [], faults: [] };
  const open: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let n = 0; n < seconds * rate; n++) {
    await pause(Math.max(0, startedAt + (n * 1000) / rate - performance.now()));
    open.push(ask(mesh, model, found));
  }
  await Promise.all(open);
  return found;
}

async function ask(mesh: Mesh, model: string | undefined, { ms, faults }: Half): Promise<void> {
  const from = performance.now();
  const named = model === undefined ? {} : { model };
  try {
    await mesh.ask({ messages: 'Once upon a time', maxTokens: TOKENS, cache: { mode: 'bypass' }, ...named });
    ms.push(performance.now() - from);
  } catch (thrown) {
    const { reason, message } = thrown as Fault;
    faults.push(`${reason}: ${message}`);
  }
}

/** Swaps the two for each other until it is told to stop, and then until the first is back. */
function swapping(mesh: Mesh, names: readonly [string, string], took: number[]): () => Promise<void> {
  let stopped = false;
  const work = async () => {
    for (let at = 0; !stopped || at % 2 === 1; at++) {
      const [from, to] = at % 2 === 0 ? names : ([names[1], names[0]] as const);
      const since = performance.now();
      for await (const { fault } of mesh.swapModel(from, to, { limitMs: DRAIN_MS })) if (fault) throw fault;
      took.push(performance.now() - since);
      await pause(PAUSE_MS);
    }
  };
  const done = work();
  return () => {
    stopped = true;
    return done;
  };
}

function prefixed(name: string, figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([figure, value]) => [`${name}_${figure}`, value]));
}
