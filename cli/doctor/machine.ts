/** Processor, memory and GPUs, as a node would register them. */
import { freemem } from 'node:os';
import type { Node } from '../../client/index.ts';
import { bytes } from '../output/units.ts';
import type { Finding } from './finding.ts';
import { missing, ok, warn } from './finding.ts';

type Hardware = NonNullable<Node['hardware']>;

const LITTLE_MEMORY = 2e9;
/** Without one of these llama.cpp computes several times slower. */
const VECTORS = ['avx2', 'avx512f', 'neon', 'sve'];

export function machineFindings(hardware: Hardware): Finding[] {
  return [cpu(hardware), memory(hardware), gpu(hardware)];
}

function cpu({ cpuModel, cores, cpuFeatures, arch }: Hardware): Finding {
  const detail = `${cpuModel || arch}, ${cores} ${cores === 1 ? 'core' : 'cores'}, ${cpuFeatures.join(' ') || 'no vector extension known'}`;
  if (VECTORS.some((name) => cpuFeatures.includes(name))) return ok('cpu', detail);
  return warn('cpu', detail, { advice: 'without AVX2 or NEON models run slowly; serve small ones' });
}

function memory({ memoryBytes }: Hardware): Finding {
  const detail = `${bytes(memoryBytes)}, ${bytes(Math.min(freemem(), memoryBytes))} free`;
  if (memoryBytes >= LITTLE_MEMORY) return ok('memory', detail);
  return warn('memory', detail, { advice: 'enough for stories-15m; tinyllama-1.1b-chat wants 2 GB' });
}

function gpu({ gpus }: Hardware): Finding {
  if (gpus.length === 0) {
    const advice = 'not needed for models of up to about 3B parameters; for larger ones use a machine with one and its driver';
    return missing('gpu', 'none found; the processor serves', { advice });
  }
  return ok('gpu', gpus.map(({ name, backend, memoryBytes }) => `${name} (${backend}, ${bytes(memoryBytes)})`).join('; '));
}
