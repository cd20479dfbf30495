/**
 * Many prompts through Batch and the same through single chats: how many tokens a second come out, what the router spends
 * on each, and what somebody who waits at a screen notices of it. On an engine that replays tokens at a fixed rate, so that
 * what could come out is known, and on llama.cpp with the bundled model.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { BatchOptions } from '../../client/batch.ts';
import type { Mesh } from '../../client/index.ts';
import type { NodeOptions, TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { Report } from './report.ts';
import { median, percentile } from './report.ts';
import { cpuSeconds } from './support/process.ts';

const OPTIONS = {
  /** Of each run on the replay engine; llama.cpp gets an eighth of them, and a window that is smaller than the slots its share. */
  items: { type: 'string', default: '400' },
  /** Of each measurement of those who wait. */
  seconds: { type: 'string', default: '15' },
  /** Runs of each, in turns; what counts is the median. */
  runs: { type: 'string', default: '3' },
} as const;

const WINDOWS = [1, 4, 16, undefined] as const;
const RATE = 100;
/** Beside a batch: people who ask again a while after they were answered. */
const PEOPLE = 2;
const THINKING_MS = 100;

interface Setting {
  readonly name: string;
  readonly node: NodeOptions;
  readonly items: number;
  readonly maxTokens: number;
}

export async function batch(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const [items, seconds, runs] = [Number(values.items), Number(values.seconds), Number(values.runs)];
  const settings: Setting[] = [
    { name: 'replay', node: { engine: 'replay', replay: `rate=${RATE}`, slots: 8 }, items, maxTokens: 20 },
    { name: 'llama', node: { model: 'stories-15m', slots: 4 }, items: Math.ceil(items / 8), maxTokens: 32 },
  ];
  const figures: Record<string, number> = {};
  for (const setting of settings) {
    await using mesh = await startMesh({ nodes: [setting.node] });
    const measured = await throughput(mesh, setting, runs);
    const waits = await beside(mesh, setting, seconds);
    for (const [name, value] of Object.entries({ ...measured, ...waits })) figures[`${setting.name}_${name}`] = value;
  }
  return {
    name: 'batch',
    figures,
    targets: [
      ...settings.flatMap(({ name }) => [
        { figure: `${name}_batch_over_chats`, least: 1, unit: 'x' },
        { figure: `${name}_auto_over_best_window`, least: 0.95, unit: 'x' },
      ]),
      // On llama.cpp it depends on what the engine has of the machine for one more prompt.
      { figure: 'replay_first_token_p99_over_alone', most: 1.5, unit: 'x' },
    ],
    notes: [
      `chats: as many at the same time as there are slots, each followed by the next; people: ${PEOPLE} who ask again ${THINKING_MS} ms after they were answered`,
    ],
  };
}

interface Run {
  readonly tokensPerSecond: number;
  readonly routerCpuUs: number;
}

async function throughput(mesh: TestMesh, setting: Setting, runs: number): Promise<Record<string, number>> {
  const slots = setting.node.slots as number;
  const kinds = new Map<string, (prompts: readonly string[]) => Promise<number>>([
    ['chats', (prompts) => byChats(mesh.client, prompts, slots, setting.maxTokens)],
    ...WINDOWS.map(
      (window) =>
        [
          `batch_${window ?? 'auto'}`,
          (prompts: readonly string[]) => byBatch(mesh.client, prompts, setting.maxTokens, window ? { window } : {}),
        ] as const,
    ),
  ]);
  await byChats(mesh.client, prompts('warm', slots * 4), slots, setting.maxTokens);
  const countOf = (kind: string) => Math.ceil(setting.items * Math.min(1, (Number(kind.split('_')[1]) || slots) / slots));
  const found = new Map([...kinds.keys()].map((kind) => [kind, [] as Run[]]));
  for (let run = 0; run < runs; run++) {
    for (const [kind, work] of kinds) found.get(kind)?.push(await timed(mesh, prompts(`${kind} ${run}`, countOf(kind)), work));
  }
  const of = (kind: string) => median((found.get(kind) ?? []).map(({ tokensPerSecond }) => tokensPerSecond));
  const all = [...kinds.keys()];
  const best = Math.max(...all.filter((kind) => kind !== 'chats').map(of));
  return {
    ...Object.fromEntries(all.map((kind) => [`${kind}_tokens_per_s`, of(kind)])),
    ...Object.fromEntries(
      ['chats', 'batch_auto'].map((kind) => [
        `${kind}_router_cpu_us_per_item`,
        median((found.get(kind) ?? []).map(({ routerCpuUs }) => routerCpuUs)),
      ]),
    ),
    batch_over_chats: of('batch_auto') / of('chats'),
    auto_over_best_window: of('batch_auto') / best,
  };
}

/** No two ask the same, which the cache would see. */
const prompts = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}: a story, the ${i}th`);

async function timed(
  mesh: TestMesh,
  all: readonly string[],
  work: (prompts: readonly string[]) => Promise<number>,
): Promise<Run> {
  const cpuBefore = cpuSeconds(mesh.router.pid);
  const startedAt = performance.now();
  const tokens = await work(all);
  const seconds = (performance.now() - startedAt) / 1000;
  return { tokensPerSecond: tokens / seconds, routerCpuUs: ((cpuSeconds(mesh.router.pid) - cpuBefore) * 1e6) / all.length };
}

/** @returns tokens of all answers */
async function byBatch(client: Mesh, all: readonly string[], maxTokens: number, options: BatchOptions): Promise<number> {
  let tokens = 0;
  const items = all.map((messages, i) => ({ id: `${i}`, messages, maxTokens }));
  for await (const outcome of client.batch(items, options)) {
    if (outcome.type !== 'answer')
      throw new Error(`item ${outcome.id} was not answered: ${outcome.type === 'failed' && outcome.fault.message}`);
    tokens += outcome.finished.usage?.outputTokens ?? 0;
  }
  return tokens;
}

async function byChats(client: Mesh, all: readonly string[], atOnce: number, maxTokens: number): Promise<number> {
  const left = all.values();
  let tokens = 0;
  const one = async () => {
    for (const messages of left) {
      const { finished } = await client.ask({ messages, maxTokens });
      tokens += finished.usage?.outputTokens ?? 0;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return tokens;
}

/** What people wait for their first token, alone and while a batch runs whose router decides how much of it is at work. */
async function beside(mesh: TestMesh, { maxTokens }: Setting, seconds: number): Promise<Record<string, number>> {
  const alone = await people(mesh.client, 'alone', seconds, maxTokens);
  const stop = new AbortController();
  const endless = (async () => {
    for (let i = 0; !stop.signal.aborted; i++)
      await byBatch(mesh.client, prompts(`beside ${i}`, 2000), maxTokens, { signal: stop.signal });
  })().catch((fault: unknown) => {
    if (!stop.signal.aborted) throw fault;
  });
  // The batch learns of them by the first of their requests, which may find all slots taken.
  await people(mesh.client, 'first', 2, maxTokens);
  const before = (await mesh.client.stats()).tokensRelayed;
  const along = await people(mesh.client, 'along', seconds, maxTokens);
  const tokens = (await mesh.client.stats()).tokensRelayed - before;
  stop.abort();
  await endless;
  const p99 = (waits: readonly number[]) => percentile(waits, 0.99);
  return {
    first_token_p50_ms_alone: median(alone),
    first_token_p50_ms_beside_batch: median(along),
    first_token_p99_ms_alone: p99(alone),
    first_token_p99_ms_beside_batch: p99(along),
    first_token_p99_over_alone: p99(along) / p99(alone),
    tokens_per_s_beside_people: tokens / seconds,
  };
}

/** @returns milliseconds to each first token */
async function people(client: Mesh, name: string, seconds: number, maxTokens: number): Promise<number[]> {
  const until = performance.now() + seconds * 1000;
  const waits: number[] = [];
  let serial = 0;
  const person = async () => {
    while (performance.now() < until) {
      const startedAt = performance.now();
      let waited: number | undefined;
      for await (const { type } of client.chat({ messages: `${name}: person ${serial++}`, maxTokens })) {
        if (type === 'delta') waited ??= performance.now() - startedAt;
      }
      if (waited !== undefined) waits.push(waited);
      await pause(THINKING_MS);
    }
  };
  await Promise.all(Array.from({ length: PEOPLE }, person));
  return waits;
}
