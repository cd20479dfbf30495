/** The tenants of a file, read again when it changes. A file that turns bad changes nothing until it is good again. */
import { statSync } from 'node:fs';
import { toFault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';
import type { Tenants } from './tenants.ts';
import { readTenants } from './tenants.ts';

/** Looked at rather than watched: that also sees a file that was put in its place, on any file system. */
const LOOK_EVERY_MS = 1000;

export interface TenantsFileParts {
  readonly path: string;
  readonly clock: Pick<Clock, 'every'>;
  readonly onRead: (tenants: number) => void;
  /** `problem` says what is wrong with the file, and quotes no key of it. */
  readonly onKept: (problem: string) => void;
}

export class TenantsFile implements Disposable {
  readonly #parts: TenantsFileParts;
  readonly #stop: () => void;
  #current: Tenants;
  /** Of the file as it was read last. */
  #marks: string;

  /** @throws Fault INVALID_REQUEST when the file can't be used at the start */
  constructor(parts: TenantsFileParts) {
    this.#parts = parts;
    // Before it is read: what changes meanwhile is read once more.
    this.#marks = marksOf(parts.path);
    this.#current = readTenants(parts.path);
    this.#stop = parts.clock.every(LOOK_EVERY_MS, () => this.#look());
  }

  get current(): Tenants {
    return this.#current;
  }

  #look(): void {
    const { path, onRead, onKept } = this.#parts;
    const marks = marksOf(path);
    if (marks === this.#marks) return;
    this.#marks = marks;
    try {
      this.#current = readTenants(path);
      onRead(this.#current.size);
    } catch (thrown) {
      const { message, violations } = toFault(thrown);
      onKept(violations.map(({ field, description }) => `${field} ${description}`).join('; ') || message);
    }
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}

function marksOf(path: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}
