/** Continuous batching: so many sequences decoded at once by an engine as nodes run it, and by llama-server. */
import type { ModelSpec } from '../../../nodes/backends/backend.ts';
import { median } from '../report.ts';
import { startLlamaServer } from './llama-server.ts';
import type { Sample } from './measure.ts';
import { crowd, inTurns } from './measure.ts';
import { startEngine } from './subjects.ts';

export interface BatchingOptions {
  /** With the context of one slot. */
  readonly model: ModelSpec;
  readonly llamaServer?: string | undefined;
  readonly threads: number;
  readonly sequences: readonly number[];
  readonly tokens: number;
  readonly rounds: number;
}

export async function batching(options: BatchingOptions): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const sequences of options.sequences) Object.assign(figures, await ofSize(options, sequences));
  return figures;
}

async function ofSize(options: BatchingOptions, slots: number): Promise<Record<string, number>> {
  const { model, threads, llamaServer, tokens } = options;
  await using stack = new AsyncDisposableStack();
  const engine = stack.use(await startEngine('llama-cpp', { model, slots, threads, gpuLayers: 0 }));
  const settings = { path: model.path, slots, contextPerSlot: model.contextLength, threads };
  const server = llamaServer && stack.use(await startLlamaServer({ program: llamaServer, ...settings }));
  const subjects = { engine, ...(server ? { server } : {}) };
  const rounds: Record<string, Sample>[] = [];
  let short = 0;
  for (const subject of Object.values(subjects)) await crowd(subject, slots, 8);
  for (let round = 0; round < options.rounds; round++) {
    const samples: Record<string, Sample> = {};
    for (const [name, subject] of inTurns(Object.entries(subjects), round)) {
      samples[name] = await crowd(subject, slots, tokens);
      short += slots * tokens - samples[name].tokens;
    }
    rounds.push(samples);
    const rates = Object.entries(samples).map(([name, { tokensPerSecond }]) => `${name} ${tokensPerSecond.toFixed(1)}`);
    process.stderr.write(`${slots} sequences, round ${round + 1}, tokens/s: ${rates.join(', ')}\n`);
  }
  return { ...figuresOf(rounds, slots), ...(short > 0 ? { [`sequences_${slots}_tokens_missing`]: short } : {}) };
}

function figuresOf(rounds: readonly Record<string, Sample>[], slots: number): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const name of Object.keys(rounds[0] ?? {})) {
    const of = (pick: (sample: Sample) => number) => median(rounds.map((samples) => pick(samples[name] as Sample)));
    figures[`sequences_${slots}_${name}_tokens_per_s`] = of(({ tokensPerSecond }) => tokensPerSecond);
    figures[`sequences_${slots}_${name}_cpu_us_per_token`] = of(({ cpuUsPerToken }) => cpuUsPerToken);
  }
  const ratios = rounds.flatMap(({ engine, server }) =>
    engine && server ? [engine.tokensPerSecond / server.tokensPerSecond] : [],
  );
  return ratios.length === 0 ? figures : { ...figures, [`sequences_${slots}_engine_over_llama_server`]: median(ratios) };
}
