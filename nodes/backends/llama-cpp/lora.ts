/** LoRA adapters: files of small matrices that are added to those of a model, so that it says something else. */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { embedsOnly } from '../../../proto/contract/embedding.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import { sha256Of } from '../../models/digest.ts';
import { factsOf } from '../../models/gguf/facts.ts';
import type { Adapter, ModelSpec } from '../backend.ts';
import { readWeightsHeader, unusable } from '../gguf.ts';

const MOST_SCALE = 10;
const SCALED = /^(.+)=(-?\d+(?:\.\d+)?)$/;

export const ADAPTER_FORM = `must be FILE, or FILE=SCALE with a scale from -${MOST_SCALE} to ${MOST_SCALE}`;

/** @returns undefined where it is not of the form */
export function readAdapter(text: string): Adapter | undefined {
  const [, path = text, digits = '1'] = SCALED.exec(text) ?? [];
  const scale = Number(digits);
  return path === '' || Math.abs(scale) > MOST_SCALE ? undefined : { path: resolve(path), scale };
}

/**
 * The model with its adapters, under a digest of its own: what it says, and what its KV caches hold, is not what the model
 * alone does. Its tokens are the same.
 * @throws Fault INVALID_REQUEST for a model that makes vectors, ENGINE_FAILED that names the file and what is wrong with it
 */
export async function withAdapters(model: ModelSpec, adapters: readonly Adapter[]): Promise<ModelSpec> {
  if (adapters.length === 0) return model;
  if (embedsOnly(model.tasks)) throw new Fault('INVALID_REQUEST', `--lora: ${model.name} makes vectors, and takes no adapters`);
  const { architecture } = factsOf(await readWeightsHeader(model.path));
  const hash = createHash('sha256').update(model.digest);
  let { sizeBytes } = model;
  for (const { path, scale } of adapters) {
    sizeBytes += await checkAdapter(path, model.name, architecture);
    hash.update(` ${await sha256Of(path)} ${scale}`);
  }
  return { ...model, sizeBytes, digest: `sha256:${hash.digest('hex')}` };
}

/** @returns bytes of its matrices */
async function checkAdapter(path: string, model: string, architecture: string): Promise<number> {
  const { metadata, weightBytes } = await readWeightsHeader(path);
  if (metadata.get('general.type') !== 'adapter' || metadata.get('adapter.type') !== 'lora') {
    throw unusable(path, "it is no LoRA adapter; llama.cpp's convert_lora_to_gguf.py makes one");
  }
  const own = metadata.get('general.architecture');
  if (own !== architecture) {
    throw unusable(path, `it is for models of the architecture ${own}, and ${model} is of ${architecture}`);
  }
  return weightBytes;
}
