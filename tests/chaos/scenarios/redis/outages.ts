/** Redis does not answer, or not in time. */
import type { Scenario } from '../../scenario.ts';
import { pause } from '../../support/clock.ts';
import type { RedisFault } from '../../support/redis-load.ts';
import { redisScenario } from '../../support/redis-load.ts';

const killed: RedisFault = {
  name: 'redis-killed',
  does: 'The Redis that two routers share is killed (SIGKILL), and started again, empty.',
  changes: 2,
  begin: ({ redis }) => redis.kill(),
  mend: ({ redis }) => redis.restart(),
};

const frozen: RedisFault = {
  name: 'redis-frozen',
  does: 'The Redis that two routers share stands still (SIGSTOP), with its connections open, and goes on.',
  changes: 2,
  begin: async ({ redis }) => redis.freeze(),
  mend: async ({ redis }) => redis.thaw(),
};

/** Answers that come within the routers' limit are no outage. */
const slow = (ms: number, changes: number): RedisFault => ({
  name: `redis-slow-${ms}`,
  does: `Every reply of the Redis that two routers share comes ${ms} ms later.`,
  changes,
  begin: async ({ proxy }) => proxy.late(ms),
  mend: async ({ proxy }) => proxy.mend(),
});

/** So many entries, of which each takes so long to load, in microseconds. */
const ENTRIES = 3000;
const LOAD_US = 1000;

const loading: RedisFault = {
  name: 'redis-loading',
  does: 'The Redis that two routers share is killed and takes seconds to load what it had kept on disk; it says so.',
  args: [
    ...['--enable-debug-command', 'yes', '--key-load-delay', String(LOAD_US)],
    ...['--loading-process-events-interval-bytes', '1024', '--rdbcompression', 'no'],
  ],
  changes: 2,
  async prepare({ operator }) {
    await operator.call('debug', 'populate', String(ENTRIES), 'ballast', '1000');
  },
  async begin({ operator, redis }) {
    await operator.call('save');
    // It is there for the routers long before it serves anything.
    await redis.restart();
  },
};

const flushed: RedisFault = {
  name: 'redis-flushed',
  does: 'Everything in the Redis that two routers share is deleted, ten times a second.',
  changes: 0,
  async harm({ operator }) {
    await operator.flushall();
  },
  mend: () => pause(0),
};

export const REDIS_OUTAGES: readonly Scenario[] = [killed, frozen, slow(20, 0), slow(100, 2), slow(500, 2), loading, flushed].map(
  redisScenario,
);
