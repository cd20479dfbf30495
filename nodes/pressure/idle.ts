/** Which model a node that is short of memory unloads: the largest that has no work. Pure. */
import type { Gpu, GpuUse } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState } from '../../proto/gen/infermesh/v1/types.ts';
import type { KeptModel } from '../shelf/view.ts';
import type { GpuMemory, Idle } from './pressure.ts';

type Sized = Pick<KeptModel, 'name' | 'state' | 'running' | 'memoryBytes' | 'remote'> & {
  readonly served: Pick<KeptModel['served'], 'sizeBytes' | 'gpuShare'>;
};

export interface IdleModel {
  /** The largest one; undefined: none. */
  readonly name: string | undefined;
  readonly kind: Idle;
}

/** Of those that take some of that memory: what lies elsewhere would free none. */
export function largestIdle(models: readonly Sized[], of: 'memory' | 'gpu'): IdleModel {
  const bytesOf = of === 'memory' ? (model: Sized) => model.memoryBytes : gpuBytes;
  const present = models.filter((model) => isInMemory(model) && (of === 'memory' || bytesOf(model) > 0));
  const idle = present.filter((model) => isIdle(model) && bytesOf(model) > 0);
  const [first, ...others] = idle;
  if (!first) return { name: undefined, kind: 'none' };
  const { name } = others.reduce((largest, one) => (bytesOf(one) > bytesOf(largest) ? one : largest), first);
  return { name, kind: present.length > 1 ? 'some' : 'last' };
}

function isInMemory({ state, remote }: Sized): boolean {
  return !remote && state !== ModelState.MODEL_STATE_LOADABLE && state !== ModelState.MODEL_STATE_DRAINING;
}

const isIdle = ({ state, running }: Sized) => state === ModelState.MODEL_STATE_SERVING && running === 0;

const gpuBytes = ({ served }: Sized) => served.sizeBytes * served.gpuShare;

/** Engines fill a GPU on purpose up to a rest of about 1 GiB: it is short where half of that has gone as well. */
const SHORT = { share: 0.02, bytes: 512 * 2 ** 20 };
/** So much more has to be free before it is short no longer. */
const FREE_AGAIN = 1.25;

/** How the fullest of them stands. */
export function gpuMemory(
  gpus: readonly Pick<Gpu, 'memoryBytes'>[],
  uses: readonly Pick<GpuUse, 'memoryUsedBytes'>[],
): GpuMemory {
  const rests = gpus.flatMap(({ memoryBytes }, at) => {
    const used = uses[at]?.memoryUsedBytes ?? 0;
    if (memoryBytes === 0 || used === 0) return [];
    return [(memoryBytes - used) / Math.min(SHORT.bytes, memoryBytes * SHORT.share)];
  });
  const least = Math.min(...rests);
  if (least < 1) return 'short';
  return least < FREE_AGAIN ? 'scarce' : 'free';
}

/** Of the fullest one, 0 to 1. */
export function gpuMemoryUse(
  gpus: readonly Pick<Gpu, 'memoryBytes'>[],
  uses: readonly Pick<GpuUse, 'memoryUsedBytes'>[],
): number {
  return Math.max(
    0,
    ...gpus.map(({ memoryBytes }, at) => (memoryBytes > 0 ? (uses[at]?.memoryUsedBytes ?? 0) / memoryBytes : 0)),
  );
}
