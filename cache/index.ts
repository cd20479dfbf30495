/** The door of this folder. */
import { MeshCache } from './cache.ts';
import type { Clock } from './clock.ts';
import { cacheOff } from './off.ts';
import type { Cache } from './port.ts';
import { StoreOfOne } from './store-of-one.ts';

export interface CacheOptions {
  /** Undefined: off. */
  readonly secret: string | undefined;
  readonly memoryBytes: number;
  readonly clock: Clock;
}

/** Returns at once; where there is Redis, it is joined in the background. */
export function openCache({ secret, memoryBytes, clock }: CacheOptions): Cache {
  const store = new StoreOfOne(clock);
  return secret === undefined ? cacheOff(store) : new MeshCache({ secret, memoryBytes, clock, store });
}
