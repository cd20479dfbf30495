/** What each engine gives when driven directly, and what is left of it behind a router and a node. */
import type { LoadOptions } from '../../../nodes/backends/backend.ts';
import type { BackendName } from '../../../nodes/engine/index.ts';
import { remoteModel, serverOf } from '../../../nodes/remote-model.ts';
import type { NodeOptions } from '../../support/mesh.ts';
import { median } from '../report.ts';
import type { BatchingOptions } from './batching.ts';
import { ALIAS, startLlamaServer } from './llama-server.ts';
import type { Sample } from './measure.ts';
import { crowd, firstTokenMs, inTurns } from './measure.ts';
import type { Subject } from './subjects.ts';
import { startEngine, startEngineMesh } from './subjects.ts';

export const SLOTS = 4;
const LONE_REQUESTS = 9;
/** So many times the tokens of a model: replaying them takes next to no time. */
const REPLAY_FACTOR = 160;

interface Contender {
  readonly name: BackendName;
  readonly model: string;
  readonly options: LoadOptions;
  readonly node: NodeOptions;
  readonly tokens: number;
  /** The process of a server that the engine is in. */
  readonly outside?: number;
}

export async function answers(options: BatchingOptions): Promise<Record<string, number>> {
  const { model, threads, tokens, llamaServer, rounds } = options;
  const price = { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
  const base = { slots: SLOTS, threads, gpuLayers: 0 };
  const settings = { path: model.path, slots: SLOTS, contextPerSlot: model.contextLength, threads };
  await using server = llamaServer ? await startLlamaServer({ program: llamaServer, ...settings }) : undefined;
  const contenders: Contender[] = [
    {
      name: 'llama-cpp',
      model: model.name,
      options: { ...base, model },
      node: { model: model.name, slots: SLOTS, threads },
      tokens,
    },
    {
      name: 'replay',
      model: 'canned',
      options: { ...base, model: { ...model, name: 'canned', path: 'replay:', price } },
      node: { engine: 'replay', model: 'canned', slots: SLOTS },
      tokens: tokens * REPLAY_FACTOR,
    },
  ];
  if (server) {
    const where = { model: ALIAS, openaiUrl: `${server.url}/v1` };
    contenders.push({
      name: 'openai',
      model: ALIAS,
      options: { ...base, model: remoteModel(where), server: serverOf(where) },
      node: { model: ALIAS, slots: SLOTS, flags: ['--engine', 'openai', '--openai-url', where.openaiUrl] },
      tokens,
      outside: server.pid,
    });
  }
  const figures: Record<string, number> = {};
  for (const contender of contenders) Object.assign(figures, await directAndMesh(contender, rounds));
  return figures;
}

interface Round {
  readonly firstMs: number;
  readonly sample: Sample;
}

async function directAndMesh({ name, model, options, node, tokens, outside }: Contender, count: number) {
  await using direct = await startEngine(name, options, outside);
  await using mesh = await startEngineMesh({ nodes: [node] }, model, outside);
  const subjects: readonly [string, Subject][] = [
    ['direct', direct],
    ['mesh', mesh],
  ];
  for (const [, subject] of subjects) await crowd(subject, SLOTS, 8);
  const rounds: Record<string, Round>[] = [];
  for (let round = 0; round < count; round++) {
    const results: Record<string, Round> = {};
    for (const [way, subject] of inTurns(subjects, round)) {
      results[way] = { firstMs: await firstTokenMs(subject, LONE_REQUESTS), sample: await crowd(subject, SLOTS, tokens) };
    }
    rounds.push(results);
    process.stderr.write(`${name}, round ${round + 1}\n`);
  }
  return figuresOf(name.replaceAll('-', '_'), rounds);
}

function figuresOf(name: string, rounds: readonly Record<string, Round>[]): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const way of ['direct', 'mesh']) {
    const of = (pick: (round: Round) => number) => median(rounds.map((results) => pick(results[way] as Round)));
    figures[`${name}_${way}_tokens_per_s`] = of(({ sample }) => sample.tokensPerSecond);
    figures[`${name}_${way}_first_token_ms`] = of(({ firstMs }) => firstMs);
    figures[`${name}_${way}_cpu_us_per_token`] = of(({ sample }) => sample.cpuUsPerToken);
  }
  return figures;
}
