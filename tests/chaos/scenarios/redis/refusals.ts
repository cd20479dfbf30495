/** Redis reads, and takes nothing. */
import type { Scenario } from '../../scenario.ts';
import type { RedisFault } from '../../support/redis-load.ts';
import { redisScenario } from '../../support/redis-load.ts';

const full: RedisFault = {
  name: 'redis-full',
  does: 'The Redis that two routers share has no memory left (maxmemory, noeviction) and refuses every write.',
  changes: 2,
  async begin({ operator }) {
    await operator.config('SET', 'maxmemory-policy', 'noeviction', 'maxmemory', '1');
  },
  async mend({ operator }) {
    await operator.config('SET', 'maxmemory', '0');
  },
};

const readOnly: RedisFault = {
  name: 'redis-read-only',
  does: 'The Redis that two routers share becomes a replica of a server that is gone, and refuses every write.',
  changes: 2,
  async begin({ operator }) {
    // Nobody listens there.
    await operator.replicaof('127.0.0.1', 1);
  },
  async mend({ operator }) {
    await operator.replicaof('NO', 'ONE');
  },
};

export const REDIS_REFUSALS: readonly Scenario[] = [full, readOnly].map(redisScenario);
