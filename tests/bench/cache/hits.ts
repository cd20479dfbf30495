/** How long a cached answer takes from end to end, and what it costs the router, from its memory and from Redis. */
import { percentile } from '../report.ts';
import type { Asked, Spent } from './asking.ts';
import { ask, isFromMemory, isFromRedis, spentWhile, startAsked } from './asking.ts';
import type { Answer, Request } from './clients.ts';

const TOKENS = 60;
const NODE = { engine: 'replay', model: 'canned', replay: `rate=0,length=${TOKENS}`, slots: 64 } as const;
/** Asked before anything is measured, so that what is measured is compiled. */
const WARM = 1000;
const ALONE = { atOnce: 1, connections: 1 };
const TOGETHER = { atOnce: 16, connections: 4 };
const MICRO = 1e6;

export interface HitsOptions {
  /** Of each kind and way. */
  readonly hits: number;
  readonly redisUrl: string;
}

export async function hits({ hits: count, redisUrl }: HitsOptions): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  {
    await using alone = await startAsked([NODE], []);
    Object.assign(figures, await fromMemory(alone, count), await generated(alone, count));
  }
  await using pair = await startAsked([NODE], ['--redis', redisUrl], 2);
  return { ...figures, ...(await fromRedis(pair, count)) };
}

const greedy = (text: string, to = 0): Request => ({ text, maxTokens: 512, temperature: 0, to });
const prompts = (kind: string, count: number, to = 0) => Array.from({ length: count }, (_, n) => greedy(`${kind} ${n}`, to));

async function fromMemory(mesh: Asked, count: number): Promise<Record<string, number>> {
  const some = prompts('a prompt that is asked often', 200);
  const often = (times: number) => Array.from({ length: times }, (_, n) => some[n % some.length] as Request);
  await ask(mesh, [...some, ...often(WARM)], TOGETHER);
  const one = await ask(mesh, often(count), ALONE);
  const { spent, answers } = await measured(mesh, often(2 * count));
  return {
    ...hitFigures('memory', one, isFromMemory),
    ...hitFigures('memory_16_at_once', answers, isFromMemory),
    memory_router_cpu_us: (spent.cpuSeconds * MICRO) / answers.length,
  };
}

/** What the first router was asked is new to the second one's memory. */
async function fromRedis(mesh: Asked, count: number): Promise<Record<string, number>> {
  const kinds = { warm: WARM, alone: count, together: 2 * count };
  for (const [kind, size] of Object.entries(kinds)) await ask(mesh, prompts(kind, size), TOGETHER);
  await written(mesh);
  await ask(mesh, prompts('warm', WARM, 1), TOGETHER);
  const one = await ask(mesh, prompts('alone', count, 1), ALONE);
  const { spent, answers } = await measured(mesh, prompts('together', 2 * count, 1));
  return {
    ...hitFigures('redis', one, isFromRedis),
    ...hitFigures('redis_16_at_once', answers, isFromRedis),
    redis_router_cpu_us: (spent.cpuSeconds * MICRO) / answers.length,
  };
}

/** Answers go to Redis behind the requests that they were made for. */
async function written({ clients }: Asked): Promise<void> {
  for (let before = -1; ; await new Promise((resolve) => setTimeout(resolve, 200))) {
    const { layers } = (await clients[0]?.cacheStats()) ?? { layers: [] };
    const writes = layers.reduce((sum, layer) => sum + layer.writes, 0);
    if (writes === before) return;
    before = writes;
  }
}

/** The least that a request costs which is not cached: one token. */
async function generated(mesh: Asked, count: number): Promise<Record<string, number>> {
  const bypassing = (kind: string, size: number) =>
    prompts(kind, size).map((request) => ({ ...request, maxTokens: 1, bypass: true }));
  await ask(mesh, bypassing('generated to warm up', WARM), TOGETHER);
  const one = await ask(mesh, bypassing('generated alone', count), ALONE);
  const { spent, answers } = await measured(mesh, bypassing('generated together', 2 * count));
  return { ...latencies('one_token', one), one_token_router_cpu_us: (spent.cpuSeconds * MICRO) / answers.length };
}

async function measured(mesh: Asked, requests: readonly Request[]): Promise<{ spent: Spent; answers: readonly Answer[] }> {
  let answers: readonly Answer[] = [];
  const spent = await spentWhile(mesh, async () => (answers = await ask(mesh, requests, TOGETHER)));
  return { spent, answers };
}

/** Of those that came from there, and how many of all did. */
function hitFigures(of: string, answers: readonly Answer[], isIt: (answer: Answer) => boolean): Record<string, number> {
  const some = answers.filter(isIt);
  return { [`${of}_share`]: some.length / answers.length, ...latencies(of, some) };
}

function latencies(of: string, answers: readonly Answer[]): Record<string, number> {
  const all = answers.map(({ ms }) => ms);
  return { [`${of}_p50_ms`]: percentile(all, 0.5), [`${of}_p99_ms`]: percentile(all, 0.99) };
}
