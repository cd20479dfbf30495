/** Which model a node that is short of memory unloads: the largest that has no work. Pure. */
import { ModelState } from '../../proto/gen/infermesh/v1/types.ts';
import type { KeptModel } from '../shelf/view.ts';
import type { Idle } from './pressure.ts';

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
