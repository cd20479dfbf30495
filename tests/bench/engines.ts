/**
 * What each engine gives by itself, in a process of its own, and what of it reaches a client of the mesh; and how well
 * llama.cpp batches in ours beside its own server. Everything that is compared is taken in turns in one run.
 */
import { parseArgs } from 'node:util';
import { openModelStore } from '../../nodes/index.ts';
import { answers } from './engines/answers.ts';
import { batching } from './engines/batching.ts';
import { vectors } from './engines/vectors.ts';
import type { Report } from './report.ts';

const OPTIONS = {
  /** llama.cpp's own server; without it nothing is compared with it. */
  'llama-server': { type: 'string' },
  /** A name of the catalogue, or file:/ABSOLUTE/PATH.gguf. */
  model: { type: 'string', default: 'stories-15m' },
  threads: { type: 'string', default: '1' },
  /** Of each answer. */
  tokens: { type: 'string', default: '100' },
  /** Of each slot. */
  context: { type: 'string', default: '256' },
  rounds: { type: 'string', default: '5' },
  sequences: { type: 'string', default: '1,2,4,8,16' },
  /** answers, vectors, batching; absent: all. */
  only: { type: 'string', multiple: true },
} as const;

const VECTORS = 'all-minilm-l6-v2';

export async function engines(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const store = openModelStore();
  const model = { ...(await store.pull(values.model)), contextLength: Number(values.context) };
  const [threads, tokens, rounds] = [Number(values.threads), Number(values.tokens), Number(values.rounds)];
  const sequences = values.sequences.split(',').map(Number);
  const llamaServer = values['llama-server'];
  const asked = (part: string) => !values.only || values.only.includes(part);
  const options = { model, llamaServer, threads, sequences, tokens, rounds };
  const figures: Record<string, number> = {};
  if (asked('answers')) Object.assign(figures, await answers(options));
  if (asked('vectors')) Object.assign(figures, await vectors(await store.pull(VECTORS), threads, rounds));
  if (asked('batching')) Object.assign(figures, await batching(options));
  const missing = '--llama-server PATH was not given: the openai engine and the comparison with it were left out';
  const least = 0.95;
  const targets = sequences.map((size) => ({ figure: `sequences_${size}_engine_over_llama_server`, least, unit: 'x' }));
  return {
    name: 'engines',
    figures,
    targets: llamaServer && asked('batching') ? targets : [],
    notes: llamaServer ? ['The processor time of the openai engine is with that of the server behind it.'] : [missing],
  };
}
