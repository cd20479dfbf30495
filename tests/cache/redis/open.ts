/** Stores in a Redis of a test. */
import type { OpenRedis } from '../../../cache/redis/index.ts';
import { openRedis } from '../../../cache/redis/index.ts';
import type { RedisChange } from '../../../cache/redis/standing.ts';
import { systemClock } from '../../../router/clock.ts';

export interface TestStore extends AsyncDisposable {
  readonly store: OpenRedis['store'];
  readonly link: OpenRedis['link'];
  /** Every change that it has told, oldest first. */
  readonly changes: readonly RedisChange[];
  /** Resolves at the next change to this state, or at once if it is the last one told. */
  become(state: RedisChange['state']): Promise<RedisChange>;
}

/** @param limitMs absent: the usual, which other tests' processes may well make Redis miss */
export function openTestStore(url: string, limitMs?: number): TestStore {
  const changes: RedisChange[] = [];
  const waiters = new Set<(change: RedisChange) => void>();
  const onState = (change: RedisChange) => {
    changes.push(change);
    for (const waiter of waiters) waiter(change);
  };
  const { store, link } = openRedis({ url, clock: systemClock, limitMs, onState });
  return {
    store,
    link,
    changes,
    become(state) {
      const last = changes.at(-1);
      if (last?.state === state) return Promise.resolve(last);
      return new Promise((resolve) => {
        const waiter = (change: RedisChange) => {
          if (change.state !== state) return;
          waiters.delete(waiter);
          resolve(change);
        };
        waiters.add(waiter);
      });
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
