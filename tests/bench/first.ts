/**
 * What the mesh adds to an engine: time to the first token, time from a cancel to the engine's standstill, and the
 * throughput of a node's slots. The bundled model on llama.cpp, the same engine settings on both sides, in turns.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Mesh } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import type { Job, Sink } from '../../nodes/backends/backend.ts';
import type { Engine } from '../../nodes/engine/index.ts';
import { createEngine } from '../../nodes/engine/index.ts';
import { openModelStore } from '../../nodes/index.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { startMesh } from '../support/mesh.ts';
import type { DirectResult } from './engine-direct.ts';
import { engineDirect } from './engine-direct.ts';
import type { Report } from './report.ts';
import { median, percentile } from './report.ts';
import { forkScript } from './support/process.ts';

const OPTIONS = {
  requests: { type: 'string', default: '150' },
  cancels: { type: 'string', default: '200' },
  rounds: { type: 'string', default: '6' },
} as const;

const MODEL = 'stories-15m';
const SLOTS = 4;
const CLIENTS = 16;
const ANSWER_TOKENS = 200;
const PROMPT = 'Once upon a time';

export async function first(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const figures: Record<string, number> = {};
  Object.assign(figures, await startTimes());
  await using mesh = await startMesh({ nodes: [{ model: MODEL, slots: SLOTS, threads: 1 }] });
  Object.assign(figures, await firstTokens(mesh.client, Number(values.requests)));
  Object.assign(figures, await cancels(mesh.client, Number(values.cancels)));
  Object.assign(figures, await throughput(mesh.client, Number(values.rounds)));
  const targets = [
    { figure: 'start_to_first_token_minus_load_s', most: 2, unit: 's' },
    { figure: 'first_token_added_p50_ms', most: 2, unit: 'ms' },
    { figure: 'cancel_to_standstill_p99_ms', most: 100, unit: 'ms' },
    { figure: 'slots_over_direct', least: 0.9, unit: 'x' },
    { figure: 'unfinished_streams', most: 0, unit: 'streams' },
  ];
  return { name: 'first', figures, targets, notes: [] };
}

async function engine(): Promise<Engine> {
  const model = await openModelStore().pull(MODEL);
  return createEngine('llama-cpp', { model, slots: SLOTS, threads: 1, gpuLayers: 0 });
}

/** From the command to the first token of a first answer, beside what loading the model takes by itself. */
async function startTimes(): Promise<Record<string, number>> {
  const loads: number[] = [];
  const starts: number[] = [];
  for (let run = 0; run < 3; run++) {
    const loadAt = performance.now();
    const alone = await engine();
    await alone.start();
    loads.push((performance.now() - loadAt) / 1000);
    await alone.dispose();
    starts.push(await startToFirstToken());
  }
  const [load, start] = [median(loads), median(starts)];
  return { model_load_s: load, start_to_first_token_s: start, start_to_first_token_minus_load_s: start - load };
}

async function startToFirstToken(): Promise<number> {
  const startedAt = performance.now();
  const cli = fileURLToPath(new URL('../../cli/infermesh.js', import.meta.url));
  const args = ['up', '--json', '--listen', '127.0.0.1:0', '--nodes', `stories=${MODEL}:${SLOTS}`];
  const up = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    let address: string | undefined;
    for await (const line of createInterface({ input: up.stdout })) {
      const event = JSON.parse(line) as { address?: string; event?: string };
      address ??= event.address;
      if (address && event.event === 'node_ready') break;
    }
    using mesh = connect(address as string);
    for await (const event of mesh.chat({ messages: PROMPT, maxTokens: 2 })) if (event.type === 'delta') break;
    return (performance.now() - startedAt) / 1000;
  } finally {
    const gone = once(up, 'exit');
    up.kill('SIGTERM');
    await gone;
  }
}

/**
 * One request at a time, in turns: through the mesh, straight to an engine with a gRPC server right before it, and to an
 * engine in this process. The first against the second is what the router adds.
 */
async function firstTokens(mesh: Mesh, requests: number): Promise<Record<string, number>> {
  const own = await engine();
  await own.start();
  await using upstream = forkScript(new URL('./support/upstream.ts', import.meta.url), ['llama-cpp', MODEL, String(SLOTS)]);
  using straight = connect((await upstream.next<{ address: string }>('ready')).address);
  const times = { mesh: [] as number[], straight: [] as number[], engine: [] as number[] };
  for (let i = 0; i < requests; i++) {
    // A prompt of its own, so that none finds it in its KV cache.
    const text = `${PROMPT}, ${i} cats met ${requests - i} dogs`;
    times.mesh.push(await firstTokenFrom(mesh, text));
    times.straight.push(await firstTokenFrom(straight, text));
    times.engine.push(await firstTokenOf(own, text));
  }
  await own.dispose();
  return {
    first_token_mesh_p50_ms: median(times.mesh),
    first_token_straight_p50_ms: median(times.straight),
    first_token_engine_p50_ms: median(times.engine),
    first_token_added_p50_ms: median(times.mesh) - median(times.straight),
    first_token_mesh_p99_ms: percentile(times.mesh, 0.99),
    first_token_straight_p99_ms: percentile(times.straight, 0.99),
  };
}

async function firstTokenFrom(mesh: Mesh, text: string): Promise<number> {
  const startedAt = performance.now();
  let firstMs = Number.NaN;
  for await (const event of mesh.chat({ messages: text, maxTokens: 8 })) {
    if (event.type === 'delta' && event.seq === 0) firstMs = performance.now() - startedAt;
  }
  return firstMs;
}

function firstTokenOf(direct: Engine, text: string): Promise<number> {
  const messages = [{ role: Role.ROLE_USER, text }];
  const job: Job = { messages, sampling: {}, maxTokens: 8, stop: [], jsonSchema: '' };
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    let firstMs: number | undefined;
    const sink: Sink = {
      prefilling: () => {},
      delta: () => {
        firstMs ??= performance.now() - startedAt;
      },
      end: (outcome) => (firstMs === undefined ? reject(new Error(`no token: ${outcome.type}`)) : resolve(firstMs)),
    };
    direct.generate(job, sink);
  });
}

/**
 * From the client's cancel to the moment when the router has heard that the engine stopped, seen by asking the router:
 * more than the time to the last token generated, never less.
 */
async function cancels(mesh: Mesh, count: number): Promise<Record<string, number>> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const cut = new AbortController();
    let cancelledAt = 0;
    try {
      for await (const event of mesh.chat({ messages: PROMPT, maxTokens: 200 }, { signal: cut.signal })) {
        if (event.type === 'delta' && event.seq >= 3 + (i % 7) && cancelledAt === 0) {
          cancelledAt = performance.now();
          cut.abort();
        }
      }
    } catch {
      // The cancel, as asked.
    }
    while ((await mesh.stats()).attemptsOpen > 0);
    times.push(performance.now() - cancelledAt);
  }
  return { cancel_to_standstill_p50_ms: median(times), cancel_to_standstill_p99_ms: percentile(times, 0.99) };
}

/** 16 clients of a 4-slot node, beside as many answers from the engine driven directly with 4 sequences. */
async function throughput(mesh: Mesh, rounds: number): Promise<Record<string, number>> {
  const direct: number[] = [];
  const slots: number[] = [];
  const longest: number[] = [];
  let unfinished = 0;
  for (let round = 0; round < rounds; round++) {
    // Each goes first as often as the other: the machine's speed drifts.
    if (round % 2 === 0) direct.push(await directRate());
    const run = await crowd(mesh);
    if (round % 2 === 1) direct.push(await directRate());
    slots.push(run.tokensPerSecond);
    longest.push(run.longestWaitShare);
    unfinished += run.unfinished;
  }
  return {
    direct_tokens_per_s: median(direct),
    slots_tokens_per_s: median(slots),
    slots_over_direct: median(slots.map((rate, i) => rate / (direct[i] as number))),
    longest_wait_share_of_run: median(longest),
    unfinished_streams: unfinished,
  };
}

/** Tokens per second of the engine alone. */
async function directRate(): Promise<number> {
  const { path } = await openModelStore().pull(MODEL);
  const options = { path, sequences: SLOTS, tokens: ANSWER_TOKENS, threads: 1, prompt: PROMPT };
  const batches = await engineDirect(options, CLIENTS / SLOTS);
  const sum = (pick: (batch: DirectResult) => number) => batches.reduce((total, batch) => total + pick(batch), 0);
  return sum(({ tokens }) => tokens) / sum(({ seconds }) => seconds);
}

async function crowd(mesh: Mesh) {
  const startedAt = performance.now();
  const asked = Array.from({ length: CLIENTS }, () => mesh.ask({ messages: PROMPT, maxTokens: ANSWER_TOKENS }));
  const answers = await Promise.allSettled(asked);
  const seconds = (performance.now() - startedAt) / 1000;
  const finished = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.finished] : []));
  return {
    tokensPerSecond: finished.reduce((sum, { usage }) => sum + (usage?.outputTokens ?? 0), 0) / seconds,
    longestWaitShare: Math.max(...finished.map(({ timings }) => timings?.firstTokenMs ?? 0)) / 1000 / seconds,
    unfinished: CLIENTS - finished.length,
  };
}
