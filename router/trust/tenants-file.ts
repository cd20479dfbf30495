/** The tenants of a file, read again when it changes. A file that turns bad changes nothing until it is good again. */
import { unwatchFile, watchFile } from 'node:fs';
import { toFault } from '../../proto/contract/faults.ts';
import type { Tenants } from './tenants.ts';
import { readTenants } from './tenants.ts';

/** Looked at by its times rather than watched: that also sees a file that was put in its place, on any file system. */
const LOOK_EVERY_MS = 1000;

export interface TenantsFileEvents {
  readonly onRead: (tenants: number) => void;
  /** `problem` says what is wrong with the file, and quotes nothing of it. */
  readonly onKept: (problem: string) => void;
}

export class TenantsFile implements Disposable {
  readonly #path: string;
  readonly #listener: () => void;
  #current: Tenants;

  /** @throws Fault INVALID_REQUEST when the file can't be used at the start */
  constructor(path: string, { onRead, onKept }: TenantsFileEvents) {
    this.#path = path;
    this.#current = readTenants(path);
    this.#listener = () => {
      try {
        this.#current = readTenants(path);
        onRead(this.#current.size);
      } catch (thrown) {
        const { message, violations } = toFault(thrown);
        onKept(violations.map(({ field, description }) => `${field} ${description}`).join('; ') || message);
      }
    };
    watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, this.#listener);
  }

  get current(): Tenants {
    return this.#current;
  }

  [Symbol.dispose](): void {
    unwatchFile(this.#path, this.#listener);
  }
}
