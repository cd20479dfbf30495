/**
 * How much memory a model will take, before it is loaded: what its file and the file's header tell, and what engines were
 * seen to take beside that.
 */
import { isAbsolute } from 'node:path';
import type { ModelSpec } from '../backends/backend.ts';
import type { ModelFacts } from './gguf/facts.ts';
import { factsOf } from './gguf/facts.ts';
import { readGgufHeader } from './gguf/file.ts';

export interface Use {
  /** Requests generated for at the same time. */
  readonly slots: number;
  /** Tokens; without it the model's own context, or what the catalogue allows of it. */
  readonly contextPerSlot?: number | undefined;
}

/** A process with llama.cpp and its smallest model takes 190 to 230 MB. */
const ENGINE_BYTES = 230e6;
/** Tokens that the llama-cpp backend reads at once on the CPU, beside one for each slot. */
const BATCH = 64;
const FLOAT_BYTES = 4;
/** llama.cpp gives each sequence room for a multiple of this. */
const CONTEXT_STEP = 256;
/** Over the weights, where a file tells nothing of what its model keeps beside them. */
const UNTOLD = 0.2;

/**
 * Bytes that the model will take in an engine's process of its own, all on the CPU; 0 for a model that another server has.
 * The bundled models and tinyllama-1.1b-chat, with 1 to 16 slots, were seen to take 80 to 99 % of it.
 * Never rejects: of a file that cannot be read its size counts, and loading it will say what is wrong.
 */
export async function needsBytes(spec: ModelSpec, { slots, contextPerSlot }: Use): Promise<number> {
  // A server outside has the model, or the engine needs no weights.
  if (!isAbsolute(spec.path)) return 0;
  const facts = await readFacts(spec);
  const context = Math.min(contextPerSlot ?? Number.POSITIVE_INFINITY, contextOf(facts, spec));
  return estimate(spec, facts, slots, context);
}

/**
 * The longest context for each slot, a multiple of 256 tokens or the model's own, with which the model takes no more than
 * `budgetBytes`; 0 where not even 256 tokens fit. Never rejects.
 */
export async function contextWithin(spec: ModelSpec, slots: number, budgetBytes: number): Promise<number> {
  const facts = await readFacts(spec);
  const most = contextOf(facts, spec);
  if (estimate(spec, facts, slots, most) <= budgetBytes) return most;
  let fits = 0;
  let tooLong = Math.ceil(most / CONTEXT_STEP);
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2);
    if (estimate(spec, facts, slots, middle * CONTEXT_STEP) <= budgetBytes) fits = middle;
    else tooLong = middle;
  }
  return fits * CONTEXT_STEP;
}

async function readFacts({ path }: ModelSpec): Promise<ModelFacts | undefined> {
  if (path.endsWith('.onnx')) return undefined;
  return readGgufHeader(path).then(factsOf, () => undefined);
}

function contextOf(facts: ModelFacts | undefined, { contextLength }: ModelSpec): number {
  return Math.min(facts?.contextLength ?? Number.POSITIVE_INFINITY, contextLength || Number.POSITIVE_INFINITY);
}

function estimate({ sizeBytes }: ModelSpec, facts: ModelFacts | undefined, slots: number, context: number): number {
  const untold = sizeBytes * UNTOLD;
  const beside = facts && Number.isFinite(context) ? besideWeights(facts, slots, context) : untold;
  return Math.ceil(sizeBytes + (beside ?? untold) + ENGINE_BYTES);
}

/** The KV cache of all slots, and what one batch makes: scores of each head over the context, and of each word. */
function besideWeights(facts: ModelFacts, slots: number, context: number): number | undefined {
  const { kvBytesPerToken, heads = 0, vocabulary = 0, embeddingLength = 0, readsAtOnce } = facts;
  if (kvBytesPerToken === undefined) return undefined;
  const cells = Math.ceil(context / CONTEXT_STEP) * CONTEXT_STEP;
  const batch = readsAtOnce ? cells : BATCH + slots;
  const given = readsAtOnce ? embeddingLength : vocabulary;
  return kvBytesPerToken * cells * slots + batch * (heads * cells + given) * FLOAT_BYTES;
}
