/**
 * Which of the routers that share a Redis generates an answer, so that the others wait a little for it instead of
 * generating it as well. A lease is a hint: where Redis says nothing, or the wait is over, a router goes ahead alone.
 */
import { randomUUID } from 'node:crypto';
import type { Key, Store } from '../../cache/port.ts';
import type { Clock } from '../clock.ts';
import { once } from '../once.ts';

/** So long after a router died its lease is nobody's. */
const LEASE_MS = 3000;
const RENEW_MS = 1000;
/** So long an answer may be on its way to where the others look. One that has not come by then is none to wait for. */
const ARRIVAL_MS = 50;

export interface LeasesParts {
  readonly store: Pick<Store, 'kind' | 'take' | 'giveUp'>;
  readonly clock: Pick<Clock, 'after' | 'every'>;
}

/** Disposing gives it up, so that another router goes ahead. */
export interface Lease extends Disposable {
  /** The answer is on its way to where the others look: they go on waiting for it a little. */
  answered(): void;
}

export const NO_LEASE: Lease = { answered() {}, [Symbol.dispose]() {} };

export class Leases {
  readonly #parts: LeasesParts;

  constructor(parts: LeasesParts) {
    this.#parts = parts;
  }

  /** @returns undefined while another router has it; else this one's, until it is disposed */
  async take({ name }: Key): Promise<Lease | undefined> {
    const { store, clock } = this.#parts;
    // Within one router its flights see to that.
    if (store.kind === 'memory') return NO_LEASE;
    const owner = randomUUID();
    const taken = await store.take(name, owner, LEASE_MS);
    if (taken !== 'taken') return taken === 'busy' ? undefined : NO_LEASE;
    const stop = clock.every(RENEW_MS, () => void store.take(name, owner, LEASE_MS));
    let isAnswered = false;
    const giveUp = () => void store.giveUp(name, owner);
    const held = once(() => {
      stop();
      if (isAnswered) clock.after(ARRIVAL_MS, giveUp);
      else giveUp();
    });
    return {
      answered: () => {
        isAnswered = true;
      },
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  }
}
