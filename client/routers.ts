/** The routers of one mesh: the one in use, and who comes after it. */
import type { Fault } from '../proto/contract/faults.ts';
import { invalid, toFault } from '../proto/contract/faults.ts';
import type { DialOptions } from '../proto/transport/channel.ts';
import { Router } from './router.ts';

/** @param addresses each HOST:PORT, or several with commas */
export function addressesOf(addresses: string | readonly string[]): readonly string[] {
  const all = [addresses].flat().flatMap((text) => text.split(','));
  const named = new Set(all.map((text) => text.trim()).filter((text) => text !== ''));
  if (named.size > 0) return [...named];
  throw invalid([{ field: 'addresses', description: 'must name at least one router as HOST:PORT, received none' }]);
}

export class Routers {
  readonly all: readonly Router[];
  #inUse: Router;

  /** @throws Fault INVALID_REQUEST where no address is given */
  constructor(addresses: readonly string[], options: DialOptions) {
    this.all = addresses.map((address) => new Router(address, options, addresses.length === 1));
    const [first] = this.all;
    if (!first) throw invalid([{ field: 'addresses', description: 'must name at least one router, received none' }]);
    this.#inUse = first;
  }

  /** The first that answered, and from then on whoever does not fail. */
  get inUse(): Router {
    return this.#inUse;
  }

  /** Resolves when one of them answers, which is then in use. @throws Fault UNREACHABLE after `timeoutMs` */
  async ready(timeoutMs: number): Promise<void> {
    const answering = this.all.map((router) => router.ready(timeoutMs).then(() => router));
    try {
      this.#inUse = await Promise.any(answering);
    } catch (thrown) {
      throw toFault((thrown as AggregateError).errors[0]);
    }
  }

  /** Whom to try after one that failed: another one, or the same where there is no other. */
  after(failed: Router, fault: Fault): Router {
    const next = this.all[(this.all.indexOf(failed) + 1) % this.all.length] as Router;
    // Many streams break at once; the first of them moves on for all.
    if (isGone(fault) && this.#inUse === failed) this.#inUse = next;
    return this.#inUse === failed ? next : this.#inUse;
  }

  /** Asks the one in use, and each other one once where that is gone. @throws Fault */
  async ask<T>(work: (router: Router) => Promise<T>): Promise<T> {
    for (let left = this.all.length; ; left--) {
      const router = this.#inUse;
      try {
        return await work(router);
      } catch (thrown) {
        const fault = toFault(thrown);
        if (left === 1 || !isGone(fault)) throw fault;
        this.after(router, fault);
      }
    }
  }

  /** Asks one after the other, the one in use first, while the request is unknown to them. @throws Fault */
  async firstThatKnows<T>(work: (router: Router) => Promise<T>): Promise<T> {
    let first: Fault | undefined;
    for (const router of [this.#inUse, ...this.all.filter((other) => other !== this.#inUse)]) {
      try {
        return await work(router);
      } catch (thrown) {
        const fault = toFault(thrown);
        if (fault.reason !== 'REQUEST_UNKNOWN' && !isGone(fault)) throw fault;
        first ??= fault;
      }
    }
    throw first;
  }

  close(): void {
    for (const router of this.all) router.close();
  }
}

/** The router itself, and not what is behind it. */
function isGone({ reason }: Fault): boolean {
  return reason === 'UNREACHABLE' || reason === 'DRAINING';
}
