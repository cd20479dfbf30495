/** How short the memory of GPUs is. Pure. */
import type { Gpu, GpuUse } from '../../proto/gen/infermesh/v1/types.ts';
import type { LimitedMemory } from '../../telemetry/host/memory.ts';
import type { GpuMemory } from './pressure.ts';

/** Engines fill a GPU on purpose up to a rest of about 1 GiB: it is short where half of that has gone as well. */
const SHORT = { share: 0.02, bytes: 512 * 2 ** 20 };
/** So much more has to be free before it is short no longer. */
const FREE_AGAIN = 1.25;

/** Of the GPU that is nearest to being short; undefined where nobody tells of any. */
export interface TightestGpu {
  readonly memory: LimitedMemory;
  readonly standing: GpuMemory;
}

export function tightestGpu(
  gpus: readonly Pick<Gpu, 'memoryBytes'>[],
  uses: readonly Pick<GpuUse, 'memoryUsedBytes'>[],
): TightestGpu | undefined {
  const all = gpus.flatMap(({ memoryBytes: limitBytes }, at) => {
    const usedBytes = uses[at]?.memoryUsedBytes ?? 0;
    if (limitBytes === 0 || usedBytes === 0) return [];
    const rest = (limitBytes - usedBytes) / Math.min(SHORT.bytes, limitBytes * SHORT.share);
    return [{ rest, memory: { usedBytes, limitBytes, stalled: 0 } }];
  });
  const [tightest] = all.toSorted((one, other) => one.rest - other.rest);
  return tightest && { memory: tightest.memory, standing: standingOf(tightest.rest) };
}

function standingOf(rest: number): GpuMemory {
  if (rest < 1) return 'short';
  return rest < FREE_AGAIN ? 'scarce' : 'free';
}
