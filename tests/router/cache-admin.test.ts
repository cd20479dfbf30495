import { expect, it, vi } from 'vitest';
import type { Cache } from '../../cache/port.ts';
import { CacheLayer, PurgeCacheRequest } from '../../proto/gen/infermesh/v1/admin.ts';
import { cacheAdmin } from '../../router/services/cache-admin.ts';

function adminOf() {
  const purge = vi.fn<Cache['purge']>(async () => ({ memory: 1, redis: 0 }));
  const lift = vi.fn<(tenant?: string) => void>();
  const opened = Promise.resolve({ lift });
  const parts = { cache: { purge }, meaning: { opened, model: undefined }, tally: { shared: 0, savedUsd: 0 } };
  return { admin: cacheAdmin(parts as unknown as Parameters<typeof cacheAdmin>[0]), purge, lift };
}

it('forgets nothing for a layer that there is not, rather than everything', async () => {
  const { admin, purge, lift } = adminOf();
  const request = PurgeCacheRequest.decode(Uint8Array.of(8, 9));
  await expect(admin.purge(request)).rejects.toMatchObject({
    reason: 'INVALID_REQUEST',
    violations: [{ field: 'layer', description: 'must be 0 to 3, received 9' }],
  });
  expect(purge).not.toHaveBeenCalled();
  expect(lift).not.toHaveBeenCalled();
});

it.each([
  [CacheLayer.CACHE_LAYER_UNSPECIFIED, true],
  [CacheLayer.CACHE_LAYER_ANSWERS, true],
  [CacheLayer.CACHE_LAYER_EVIDENCE, false],
])('lifts the alarm of hits by meaning with the answers (layer %i: %s)', async (layer, lifts) => {
  const { admin, lift } = adminOf();
  expect(await admin.purge({ layer, tenant: 'acme' })).toEqual({ memory: 1, redis: 0 });
  expect(lift.mock.calls).toEqual(lifts ? [['acme']] : []);
});
