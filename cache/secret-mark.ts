/**
 * Tells whether routers that share a store have different secrets: a value under a name that every mesh gives it, sealed
 * by the secret of whoever came first. Nothing depends on it but a warning.
 */
import type { Clock } from './clock.ts';
import type { SecretKeyring } from './keyring.ts';
import type { Key, Store } from './port.ts';
import { MAX_TTL_MS } from './sealed-value.ts';

/** Once it is known; until then whenever it is asked for. */
const LOOK_AGAIN_MS = 60_000;

export class SecretMark {
  readonly #store: Store;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #key: Key;
  readonly #onForeign: () => void;
  #nextAt = Number.NEGATIVE_INFINITY;
  #told = false;

  /** @param onForeign told once */
  constructor(store: Store, keys: Pick<SecretKeyring, 'inTheOpen'>, clock: Pick<Clock, 'now'>, onForeign: () => void) {
    this.#store = store;
    this.#clock = clock;
    this.#key = keys.inTheOpen('secret');
    this.#onForeign = onForeign;
  }

  async look(): Promise<void> {
    if (this.#told || this.#clock.now() < this.#nextAt) return;
    const sealed = await this.#store.get(this.#key.name);
    if (sealed === 'unknown') return;
    if (sealed && !this.#key.open(sealed)) {
      this.#told = true;
      this.#onForeign();
    } else if (sealed) {
      this.#nextAt = this.#clock.now() + LOOK_AGAIN_MS;
    } else {
      // Of two that do so at the same time, one finds the other's when it looks again.
      await this.#store.set(this.#key.name, this.#key.seal(Buffer.of(1)), MAX_TTL_MS);
    }
  }
}
