/**
 * What nodes say of themselves, brought to what can be true. Pure. A claim is clamped, never refused: a node with one
 * wrong figure still serves, and the name of what was clamped goes to the log.
 */
import type { ModelProgress, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import type { GpuUse, ModelLoad, Pressure, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState, PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';

export const MAX_SLOTS = 16_384;
const MAX_CONTEXT = 16 * 1024 * 1024;
const MAX_RATE = 1e7;
const MAX_PRICE = 1e6;
const MAX_WATTS = 1e6;
const MAX_QUEUE = 1_000_000;
const MAX_TOKENS = 1e9;
/** 64 such vectors are 4 MiB, and a router takes messages of up to 6. */
const MAX_DIMENSIONS = 16_384;
const MAX_BYTES = 2 ** 50;
const MAX_LOAD_MS = 3_600_000;
const MAX_CELSIUS = 1000;
/** Of what a node says of a failure. */
const MAX_MESSAGE = 1024;

/** A field that was out of range, named as in the .proto. */
export interface Claim {
  readonly field: string;
  readonly received: number;
  readonly used: number;
}

export interface Clamped<T> {
  readonly value: T;
  readonly claims: readonly Claim[];
}

class Clamp {
  readonly claims: Claim[] = [];

  to(field: string, received: number, low: number, high: number): number {
    const used = Number.isFinite(received) ? Math.min(Math.max(received, low), high) : low;
    if (used !== received) this.claims.push({ field, received, used });
    return used;
  }
}

export function clampModel(claim: ServedModel): Clamped<ServedModel> {
  const clamp = new Clamp();
  const price = claim.price ?? { inputUsdPerMillion: 0, outputUsdPerMillion: 0 };
  const value: ServedModel = {
    ...claim,
    slots: clamp.to('slots', claim.slots, 1, MAX_SLOTS),
    contextLength: clamp.to('context_length', claim.contextLength, 1, MAX_CONTEXT),
    prefillTokensPerSecond: clamp.to('prefill_tokens_per_second', claim.prefillTokensPerSecond, 0, MAX_RATE),
    decodeTokensPerSecond: clamp.to('decode_tokens_per_second', claim.decodeTokensPerSecond, 0, MAX_RATE),
    price: {
      inputUsdPerMillion: clamp.to('price.input_usd_per_million', price.inputUsdPerMillion, 0, MAX_PRICE),
      outputUsdPerMillion: clamp.to('price.output_usd_per_million', price.outputUsdPerMillion, 0, MAX_PRICE),
    },
    embeddingDimensions: clamp.to('embedding_dimensions', claim.embeddingDimensions, 0, MAX_DIMENSIONS),
    gpuShare: clamp.to('gpu_share', claim.gpuShare, 0, 1),
    memoryBytes: clamp.to('memory_bytes', claim.memoryBytes, 0, MAX_BYTES),
    watts: clamp.to('watts', claim.watts, 0, MAX_WATTS),
  };
  return { value, claims: clamp.claims };
}

export function clampReport(claim: Report, models: readonly ServedModel[]): Clamped<Report> {
  const clamp = new Clamp();
  const slotsOf = new Map(models.map((model) => [model.name, model.slots]));
  const loads = claim.loads
    .filter((load) => slotsOf.has(load.model))
    .map((load) => clampLoad(load, slotsOf.get(load.model) ?? 1, clamp));
  const cachedPrefixes = claim.cachedPrefixes.filter(({ model }) => slotsOf.has(model));
  const value: Report = {
    ...claim,
    loads,
    cachedPrefixes,
    cpuUse: clamp.to('cpu_use', claim.cpuUse, 0, 1),
    gpus: claim.gpus.map((use) => clampGpu(use, clamp)),
    pressure: claim.pressure && clampPressure(claim.pressure, clamp),
  };
  return { value, claims: clamp.claims };
}

function clampGpu({ use, memoryUsedBytes, temperature, power }: GpuUse, clamp: Clamp): GpuUse {
  const known = (field: string, received: number | undefined, low: number, high: number) =>
    received === undefined ? undefined : clamp.to(field, received, low, high);
  return {
    use: known('gpus.use', use, 0, 1),
    memoryUsedBytes: clamp.to('gpus.memory_used_bytes', memoryUsedBytes, 0, MAX_BYTES),
    temperature: known('gpus.temperature', temperature, -MAX_CELSIUS, MAX_CELSIUS),
    power: known('gpus.power', power, 0, MAX_WATTS),
  };
}

function clampPressure({ level, use, limitBytes, steps }: Pressure, clamp: Clamp): Pressure {
  return {
    level: isOneOf(PressureLevel, level) ? level : PressureLevel.PRESSURE_LEVEL_UNSPECIFIED,
    use: clamp.to('pressure.use', use, 0, 1),
    limitBytes: clamp.to('pressure.limit_bytes', limitBytes, 0, MAX_BYTES),
    steps,
  };
}

/** How far a model command has come, as the node says. */
export function clampProgress({ stage, fraction, failure, ...rest }: ModelProgress): ModelProgress {
  return {
    ...rest,
    stage: isOneOf(ModelStage, stage) ? stage : ModelStage.MODEL_STAGE_UNSPECIFIED,
    fraction: new Clamp().to('fraction', fraction, 0, 1),
    failure: failure && { ...failure, message: failure.message.slice(0, MAX_MESSAGE).toWellFormed() },
  };
}

/** A newer node may know values that this router does not. */
function isOneOf(values: Readonly<Record<string, number>>, value: number): boolean {
  return Object.values(values).includes(value);
}

function clampLoad(load: ModelLoad, slots: number, clamp: Clamp): ModelLoad {
  return {
    model: load.model,
    freeSlots: clamp.to('free_slots', load.freeSlots, 0, slots),
    running: clamp.to('running', load.running, 0, slots),
    queued: clamp.to('queued', load.queued, 0, MAX_QUEUE),
    queuedPromptTokens: clamp.to('queued_prompt_tokens', load.queuedPromptTokens, 0, MAX_TOKENS),
    kvCacheUse: clamp.to('kv_cache_use', load.kvCacheUse, 0, 1),
    prefillTokensPerSecond: clamp.to('load.prefill_tokens_per_second', load.prefillTokensPerSecond, 0, MAX_RATE),
    decodeTokensPerSecond: clamp.to('load.decode_tokens_per_second', load.decodeTokensPerSecond, 0, MAX_RATE),
    state: isOneOf(ModelState, load.state) ? load.state : ModelState.MODEL_STATE_UNSPECIFIED,
    loadMs: clamp.to('load_ms', load.loadMs, 0, MAX_LOAD_MS),
  };
}
