/** What an Ollama says of itself and of a model. Pure; every field may be absent or of another kind. */
import { Fault } from '../../../proto/contract/faults.ts';

type Told = Readonly<Record<string, unknown>>;

export interface ModelFacts {
  /** Empty where it is not told. */
  readonly quantization: string;
  /** SPDX identifier; empty where it is not told. */
  readonly licence: string;
  /** Tokens; undefined where it is not told. */
  readonly contextLength: number | undefined;
  /** The model's own stop strings. */
  readonly stop: readonly string[];
  readonly embedsOnly: boolean;
  readonly thinks: boolean;
}

/** @param show the answer of /api/show */
export function modelFacts(show: object): ModelFacts {
  const { details, model_info, capabilities, parameters, license } = show as Told;
  const info = record(model_info);
  const can = Array.isArray(capabilities) ? capabilities : [];
  const context = Object.entries(info).find(([key]) => key.endsWith('.context_length'))?.[1];
  return {
    quantization: text(record(details).quantization_level),
    licence: licenceOf(info['general.license'], license),
    contextLength: typeof context === 'number' && Number.isInteger(context) && context > 0 ? context : undefined,
    stop: stopsIn(text(parameters)),
    embedsOnly: can.includes('embedding') && !can.includes('completion'),
    thinks: can.includes('thinking'),
  };
}

const SPDX = /^[A-Za-z0-9.+-]{1,64}$/;
/** The first words of the licences that models come with most, and the identifiers that SPDX has for them. */
const LICENCES: readonly (readonly [RegExp, string])[] = [
  [/^\s*Apache License\s+Version 2\.0/i, 'Apache-2.0'],
  [/^\s*(?:The )?MIT License/i, 'MIT'],
];
/** As weights write them, and as SPDX does. */
const AS_SPDX: Readonly<Record<string, string>> = { 'apache-2.0': 'Apache-2.0', mit: 'MIT' };

function licenceOf(named: unknown, whole: unknown): string {
  const name = text(named);
  if (AS_SPDX[name]) return AS_SPDX[name];
  const known = LICENCES.find(([words]) => words.test(text(whole)))?.[1];
  if (known) return known;
  return SPDX.test(name) && name !== 'other' ? `LicenseRef-${name}` : '';
}

/** Lines such as `stop    "<|im_end|>"`, quoted as in Go. */
function stopsIn(parameters: string): string[] {
  return [...parameters.matchAll(/^stop\s+(".*"|\S+)\s*$/gm)].map(([, value = '']) => unquoted(value)).filter(Boolean);
}

function unquoted(value: string): string {
  if (!value.startsWith('"')) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value.slice(1, -1);
  }
}

export interface Installed {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** @param tags the answer of /api/tags or /api/ps @returns undefined where the model is not among them */
export function findModel(tags: object, model: string): (Installed & Placement) | undefined {
  const { models } = tags as Told;
  const found = (Array.isArray(models) ? models : []).map(record).find(({ name, model: id }) => sameName(model, name, id));
  if (!found) return undefined;
  const digest = text(found.digest).replace(/^sha256:/, '');
  return {
    digest: /^[0-9a-f]{64}$/.test(digest) ? `sha256:${digest}` : '',
    sizeBytes: bytes(found.size),
    vramBytes: bytes(found.size_vram),
  };
}

/** A name without a tag means the tag "latest". */
function sameName(model: string, ...names: unknown[]): boolean {
  const full = (name: string) => (/:[^/]*$/.test(name) ? name : `${name}:latest`);
  return names.some((name) => typeof name === 'string' && full(name) === full(model));
}

/** What a model takes in memory, and how much of that on GPUs. */
export interface Placement {
  readonly sizeBytes: number;
  readonly vramBytes: number;
}

/** @returns 0 to 1 */
export function gpuShareOf({ sizeBytes, vramBytes }: Placement): number {
  return vramBytes === 0 ? 0 : vramBytes >= sizeBytes ? 1 : vramBytes / sizeBytes;
}

export function placementText(gpuShare: number): string {
  if (gpuShare === 0) return 'CPU';
  return gpuShare === 1 ? 'GPU' : `${Math.round(gpuShare * 100)} % GPU`;
}

/** The first release that refuses a prompt that is too long instead of cutting it, where it is asked to. */
const OLDEST = [0, 12, 6];

/** @returns the version @throws Fault ENGINE_FAILED where it is too old, or not that of an Ollama */
export function checkedVersion(answer: object): string {
  const version = text((answer as Told).version);
  const numbers = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
  if (!numbers) throw new Fault('ENGINE_FAILED', 'what answers is no Ollama: it tells no version');
  const differs = numbers.findIndex((number, at) => number !== OLDEST[at]);
  // A build of one's own calls itself 0.0.0.
  const own = numbers.every((number) => number === 0);
  if (!own && differs >= 0 && numbers[differs]! < OLDEST[differs]!) {
    const wanted = OLDEST.join('.');
    throw new Fault(
      'ENGINE_FAILED',
      `Ollama ${version} is too old, it cuts long prompts in silence: update it to ${wanted} or newer`,
    );
  }
  return version.slice(0, 64);
}

/** How much of a model has come, from the layers that were told of so far. */
export class PullProgress {
  readonly #layers = new Map<string, { readonly total: number; readonly completed: number }>();

  /** @param step a chunk of /api/pull @returns 0 to 1 */
  seen(step: object): number {
    const { digest, total, completed } = step as Told;
    if (typeof digest === 'string' && bytes(total) > 0) {
      this.#layers.set(digest, { total: bytes(total), completed: Math.min(bytes(completed), bytes(total)) });
    }
    const layers = [...this.#layers.values()];
    const all = layers.reduce((sum, layer) => sum + layer.total, 0);
    return all === 0 ? 0 : layers.reduce((sum, layer) => sum + layer.completed, 0) / all;
  }
}

const text = (value: unknown) => (typeof value === 'string' ? value : '');
const bytes = (value: unknown) => (typeof value === 'number' && value > 0 && Number.isSafeInteger(value) ? value : 0);

function record(value: unknown): Told {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Told) : {};
}
