/** A cache that is switched off: it takes everything and has nothing. Leases go on, in this process. */
import { randomBytes } from 'node:crypto';
import { NO_REDIS } from './cache.ts';
import { SecretKeyring } from './keyring.ts';
import type { Cache, Layer, LayerName, Store } from './port.ts';

export function cacheOff(store: Store): Cache {
  return {
    // Nothing outlives the process, and so neither need its secret.
    keys: new SecretKeyring(randomBytes(32).toString('base64url')),
    answers: emptyLayer('answers'),
    choices: emptyLayer('answers'),
    evidence: emptyLayer('evidence'),
    embeddings: emptyLayer('embeddings'),
    store,
    stats: () => ({ layers: [], redis: NO_REDIS }),
    purge: async () => ({ memory: 0, redis: 0 }),
    onForget() {},
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function emptyLayer<Value>(name: LayerName): Layer<Value> {
  return {
    name,
    peek: () => undefined,
    find: async () => undefined,
    findAll: async (keys) => keys.map(() => undefined),
    put() {},
    delete: async () => false,
  };
}
