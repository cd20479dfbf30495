import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../cache/memory-store.ts';
import type { Key } from '../../../cache/port.ts';
import { Leases, NO_LEASE } from '../../../router/reuse/leases.ts';
import { FakeClock } from '../../support/clock.ts';

const KEY = { name: 'lease' } as Key;

let clock: FakeClock;
let store: MemoryStore;
beforeEach(() => {
  clock = new FakeClock();
  store = new MemoryStore(1 << 20, clock);
});

/** One of the routers that share the store. */
function router(): Leases {
  const shared = {
    kind: 'redis',
    take: store.take.bind(store),
    giveUp: store.giveUp.bind(store),
  } as const;
  return new Leases({ store: shared, clock });
}

describe('a lease', () => {
  it("is one router's, for as long as its answer takes", async () => {
    const lease = await router().take(KEY);
    expect(lease).toBeDefined();
    for (let second = 0; second < 10; second++) {
      clock.advance(1000);
      expect(await router().take(KEY)).toBeUndefined();
    }
    lease?.[Symbol.dispose]();
    expect(await router().take(KEY)).toBeDefined();
  });

  it('lasts a little longer than an answer that is on its way, so that the others find it, and no longer', async () => {
    {
      using lease = await router().take(KEY);
      lease?.answered();
    }
    expect(await router().take(KEY)).toBeUndefined();
    clock.advance(49);
    expect(await router().take(KEY)).toBeUndefined();
    clock.advance(1);
    expect(await router().take(KEY)).toBeDefined();
  });

  it('of a router that died is free after three seconds', async () => {
    await store.take(KEY.name, 'a router that died', 3000);
    clock.advance(2900);
    expect(await router().take(KEY)).toBeUndefined();
    clock.advance(200);
    expect(await router().take(KEY)).toBeDefined();
  });

  it('is nothing that a router without Redis needs', async () => {
    expect(await new Leases({ store, clock }).take(KEY)).toBe(NO_LEASE);
  });
});
