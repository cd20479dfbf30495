/** A LoRA adapter for the bundled stories-15m, of numbers drawn by chance: it changes what the model says, to no end. */
import { seeded } from '../../support/clock.ts';
import type { Entry } from '../models/gguf-file.ts';
import { ggufFile, STRING, text } from '../models/gguf-file.ts';

const FLOAT32 = 6;
const BLOCKS = 6;
const WIDTH = 288;
const RANK = 4;
/** Wide enough that the most likely tokens are others. */
const SPREAD = 0.4;

export interface LoraParts {
  readonly architecture?: string;
  readonly seed?: number;
  /** Numbers in a row of the model's matrices. */
  readonly width?: number;
}

export function loraFile({ architecture = 'llama', seed = 1, width = WIDTH }: LoraParts = {}): Buffer {
  const random = seeded(seed);
  const words = (key: string, value: string): Entry => [key, STRING, text(value)];
  const alpha = Buffer.alloc(4);
  alpha.writeFloatLE(RANK);
  const entries: Entry[] = [
    words('general.type', 'adapter'),
    words('general.architecture', architecture),
    words('adapter.type', 'lora'),
    ['adapter.lora.alpha', FLOAT32, alpha],
  ];
  const bytes = RANK * width * 4;
  const names = Array.from({ length: BLOCKS }, (_, block) => [`blk.${block}.attn_q.weight`, `blk.${block}.attn_v.weight`]).flat();
  const tensors = names.flatMap((name, index) => [
    { name: `${name}.lora_a`, dimensions: [width, RANK], type: 0, offset: 2 * index * bytes },
    { name: `${name}.lora_b`, dimensions: [RANK, width], type: 0, offset: (2 * index + 1) * bytes },
  ]);
  const weights = Float32Array.from({ length: (tensors.length * bytes) / 4 }, () => (random() - 0.5) * SPREAD);
  return ggufFile({ entries, tensors, weights: Buffer.from(weights.buffer) });
}
