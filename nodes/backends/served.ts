/** What a model is announced as. Pure. */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions } from './backend.ts';

/** What only the engine knows of it, has measured, or can do. */
type Found = Pick<ServedModel, 'engine'> & Partial<Omit<ServedModel, 'name' | 'slots' | 'billsAfterDisconnect'>>;

/**
 * @returns the model as the catalogue and the operator have it, with what was found: that goes before. What nobody has
 *   told is 0 or empty, and what nobody has shown is false.
 */
export function servedModel(
  { model, slots, watts = 0, server }: Pick<LoadOptions, 'model' | 'slots' | 'watts' | 'server'>,
  found: Found,
): ServedModel {
  const { name, digest, quantization, contextLength, tier, tasks, price, sizeBytes, licence } = model;
  return {
    name,
    digest,
    quantization,
    contextLength,
    tier,
    tasks: [...tasks],
    price,
    sizeBytes,
    licence,
    slots,
    watts,
    billsAfterDisconnect: server?.billsAfterDisconnect ?? false,
    engineVersion: '',
    tokenizerDigest: '',
    prefillTokensPerSecond: 0,
    decodeTokensPerSecond: 0,
    structuredOutput: false,
    resumes: false,
    resumesStructured: false,
    embeddingDimensions: 0,
    gpuShare: 0,
    memoryBytes: 0,
    ...found,
  };
}
