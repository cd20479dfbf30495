/** Brings a model into an Ollama's memory, fetches it where it is missing, and measures it. */
import { randomUUID } from 'node:crypto';
import { EMBED_TASK } from '../../../proto/contract/embedding.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import type { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions, OllamaOptions } from '../backend.ts';
import { asFault } from '../job-run.ts';
import { assumedWatts } from '../power.ts';
import { servedModel } from '../served.ts';
import { rateOf, toldBy } from './chunks.ts';
import { embedTexts } from './embed.ts';
import type { Installed, ModelFacts, Placement } from './facts.ts';
import { gpuShareOf, modelFacts, placementText } from './facts.ts';
import type { Standing } from './request.ts';
import { chatBase } from './request.ts';
import type { OllamaServer } from './server.ts';

export interface LoadedOllama {
  readonly standing: Standing;
  readonly model: ServedModel;
  readonly embedsOnly: boolean;
}

type Wanted = LoadOptions & { readonly ollama: OllamaOptions };

/** How far a model is on its way to answers when it has come, and when it is in memory, of which Ollama tells nothing. */
const FETCHED = 0.9;
const ASKED = 0.95;
/** Of about 100 tokens. */
const MEASURED = 'The quick brown fox jumps over the lazy dog and runs through the quiet forest. '.repeat(6);
const MEASURED_TOKENS = 16;
export const ANSWER_LIMIT_MS = 5_000;

export async function loadOllama(
  server: OllamaServer,
  options: Wanted,
  progress: (fraction: number) => void,
): Promise<LoadedOllama> {
  const name = options.ollama.model;
  const version = await server.version(ANSWER_LIMIT_MS);
  const installed = (await server.installed(name)) ?? (await fetched(server, name, progress));
  progress(ASKED);
  const facts = modelFacts(await server.show(name));
  const standing = standingOf(options, facts);
  const rates = await (facts.embedsOnly ? measureVectors(server, standing) : measureAnswers(server, standing));
  const placement = await server.placement(name);
  const model = servedOf(options, { version, installed, facts, standing, rates, placement });
  return { standing, model, embedsOnly: facts.embedsOnly };
}

async function fetched(server: OllamaServer, name: string, progress: (fraction: number) => void): Promise<Installed> {
  await server.pull(name, (fraction) => progress(fraction * FETCHED));
  const installed = await server.installed(name);
  if (!installed) throw new Fault('ENGINE_FAILED', `Ollama has fetched ${name} and does not list it`);
  return installed;
}

function standingOf({ model, threads, gpuLayers, ollama }: Wanted, facts: ModelFacts): Standing {
  return {
    model: ollama.model,
    keepAlive: ollama.keepAlive,
    runner: {
      num_ctx: Math.min(model.contextLength, facts.contextLength ?? model.contextLength),
      ...(gpuLayers === 'auto' ? {} : { num_gpu: gpuLayers }),
      ...(threads === 0 ? {} : { num_thread: threads }),
    },
    stop: facts.stop,
    thinks: facts.thinks,
  };
}

interface Rates {
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly embeddingDimensions: number;
}

async function measureAnswers(server: OllamaServer, standing: Standing): Promise<Rates> {
  // The first one loads the model and warms it up. Neither may find its prompt in Ollama's cache.
  await answered(server, standing, 1);
  const { told, tookMs } = await answered(server, standing, MEASURED_TOKENS);
  const { inputTokens, outputTokens, prefillMs, decodeMs } = told;
  return {
    prefillTokensPerSecond: rateOf(inputTokens, prefillMs) ?? rateOf(MEASURED.length / 4, tookMs) ?? 0,
    decodeTokensPerSecond: rateOf(outputTokens, decodeMs) ?? rateOf(MEASURED_TOKENS, tookMs) ?? 0,
    embeddingDimensions: 0,
  };
}

async function answered(server: OllamaServer, standing: Standing, tokens: number) {
  const content = `${randomUUID()} ${MEASURED}`;
  const chat = {
    ...chatBase(standing, [{ role: 'user', content }]),
    options: { ...standing.runner, temperature: 0, num_predict: tokens },
  };
  const start = performance.now();
  const told = await server.ask(async (client) => {
    let last: object = {};
    for await (const chunk of await client.chat(chat)) last = chunk;
    return toldBy(last);
  });
  return { told, tookMs: performance.now() - start };
}

async function measureVectors(server: OllamaServer, standing: Standing): Promise<Rates> {
  const made = async () => {
    const start = performance.now();
    const embedding = await embedTexts(server, standing, [MEASURED], NEVER);
    if (embedding.type === 'failure') throw asFault(embedding);
    return { ...embedding, tookMs: performance.now() - start };
  };
  await made();
  const { vectors, inputTokens, tookMs } = await made();
  return {
    prefillTokensPerSecond: rateOf(inputTokens || MEASURED.length / 4, tookMs) ?? 0,
    decodeTokensPerSecond: 0,
    embeddingDimensions: vectors[0]?.length ?? 0,
  };
}

const NEVER = new AbortController().signal;

interface Seen {
  readonly version: string;
  readonly installed: Installed;
  readonly facts: ModelFacts;
  readonly standing: Standing;
  readonly rates: Rates;
  readonly placement: Placement | undefined;
}

function servedOf(options: Wanted, { version, installed, facts, standing, rates, placement }: Seen): ServedModel {
  const { model: spec, threads, watts } = options;
  const gpuShare = placement ? gpuShareOf(placement) : 0;
  return servedModel(options, {
    engine: 'ollama',
    // Bits of an answer depend on where it was computed, so it is told with the version.
    engineVersion: placement ? `${version} (${placementText(gpuShare)})` : version,
    digest: installed.digest,
    sizeBytes: installed.sizeBytes,
    quantization: facts.quantization || spec.quantization,
    licence: spec.licence || facts.licence,
    contextLength: standing.runner.num_ctx ?? spec.contextLength,
    tasks: facts.embedsOnly ? [EMBED_TASK] : [...spec.tasks],
    ...rates,
    structuredOutput: !facts.embedsOnly,
    gpuShare,
    memoryBytes: placement?.sizeBytes ?? 0,
    watts: watts ?? assumedWatts(threads, gpuShare > 0 ? 1 : 0),
  });
}
