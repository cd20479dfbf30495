/** What a node can say of its model before the engine has loaded it. Pure. */
import type { ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { ModelSpec } from './backends/backend.ts';
import type { NodeSettings } from './settings.ts';

type Known = Pick<NodeSettings, 'engine' | 'slots' | 'watts'>;

/**
 * @returns the model with everything that is known from the catalogue and the settings; what the engine measures or
 *   tells is 0 or empty, and its context may turn out shorter
 */
export function expectedModel(spec: ModelSpec, { engine, slots, watts }: Known): ServedModel {
  const { name, digest, quantization, contextLength, tier, tasks, price, sizeBytes, licence } = spec;
  return {
    name,
    digest,
    engine,
    engineVersion: '',
    quantization,
    contextLength,
    tokenizerDigest: '',
    tier,
    tasks: [...tasks],
    slots,
    prefillTokensPerSecond: 0,
    decodeTokensPerSecond: 0,
    price,
    sizeBytes,
    licence,
    // Who asks for something is to hear that the model is not ready, rather than that it can't.
    structuredOutput: engine !== 'replay',
    resumes: true,
    resumesStructured: engine !== 'replay',
    embeddingDimensions: 0,
    billsAfterDisconnect: false,
    gpuShare: 0,
    memoryBytes: 0,
    watts: watts ?? 0,
  };
}
