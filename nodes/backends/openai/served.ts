/** What a server's model is announced as. Pure. */
import type { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { LoadOptions } from '../backend.ts';
import type { Server } from './server.ts';

interface Found {
  readonly contextLength: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly structuredOutput: boolean;
}

export function servedBy(
  { dialect, name, tokenizerDigest }: Server,
  { model: spec, slots, watts }: LoadOptions,
  found: Found,
): ServedModel {
  return {
    name: spec.name,
    digest: spec.digest,
    engine: 'openai',
    engineVersion: name,
    quantization: spec.quantization,
    tokenizerDigest,
    tier: spec.tier,
    tasks: [...spec.tasks],
    slots,
    price: spec.price,
    sizeBytes: spec.sizeBytes,
    licence: spec.licence,
    ...found,
    resumes: dialect === 'vllm',
    resumesStructured: false,
    embeddingDimensions: 0,
    billsAfterDisconnect: false,
    gpuShare: 0,
    memoryBytes: 0,
    watts: watts ?? 0,
  };
}
