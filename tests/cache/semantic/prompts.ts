/** Prompts as a router would ask them, and vectors of them that need no model. */
import { SecretKeyring } from '../../../cache/keyring.ts';
import type { Prompt } from '../../../cache/semantic/index.ts';
import { unit } from '../../../cache/semantic/vectors.ts';
import { replayVector } from '../../../nodes/backends/replay-vectors.ts';
import { languageOf } from '../../../router/classify/language.ts';

export const DIMENSIONS = 96;
export const MODEL = { name: 'replay', digest: 'sha256:00', dimensions: DIMENSIONS };
export const keyring = new SecretKeyring('a secret of the mesh for tests');
/** What counts as near is less with these vectors than with those of a model. */
export const POLICY = { similarity: 0.5, checkShare: 1, falseHits: 0.02 };

export function prompt(text: string, of: Partial<Prompt> = {}): Prompt {
  const tenant = 'tenant' in of ? of.tenant : 'acme';
  const common = { scope: Buffer.from('scope'), language: languageOf(text), model: MODEL };
  return { ...common, tenant, keys: keyring.of(tenant), text, ...of };
}

export const vectorOf = (text: string) => replayVector(text, DIMENSIONS);

/** @param random from 0 to below 1 */
export function randomUnit(random: () => number, dimensions: number): Float32Array {
  return unit(Float32Array.from({ length: dimensions }, () => random() + random() + random() - 1.5));
}
