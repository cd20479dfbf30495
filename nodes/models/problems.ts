/** What goes wrong with models on disk, each as one line that says what to do. */
import { Fault } from '../../proto/contract/faults.ts';

export function unknownModel(known: Iterable<string>): Fault {
  return new Fault('MODEL_NOT_FOUND', `the catalogue has no model of this name; it has ${[...known].sort().join(', ')}`);
}

/** @param versions as they are written, NAME@DIGEST */
export function noVersion(name: string, digest: string, versions: readonly string[]): Fault {
  const known = versions.length > 0 ? `there is ${versions.join(' and ')}` : 'none is here';
  return new Fault('MODEL_NOT_FOUND', `${name} has no version here whose digest begins with ${digest}; ${known}`);
}

export function damaged(name: string, what: string, cause?: unknown): Fault {
  return new Fault('MODEL_UNAVAILABLE', `the weights of ${name} ${what}`, { facts: { model: name }, cause });
}

/** The weights can't be used as they lie there, and fetching them again helps. */
export function fetchAgain(name: string, what: string, cause?: unknown): Fault {
  return damaged(name, `${what}; fetch them again with: infermesh models pull ${name}`, cause);
}

export function noSpace(name: string, needed: number, free: number, folder: string): Fault {
  const message = `${name} needs ${megabytes(needed)} in ${folder} and ${megabytes(free)} are free; free some, or set INFERMESH_MODELS to another folder`;
  return new Fault('MODEL_UNAVAILABLE', message, { facts: { model: name } });
}

/** Though there was room for it when the pull began. */
export function diskFull(name: string, folder: string, cause: unknown): Fault {
  const message = `the disk of ${folder} is full, and ${name} is not whole; free some, or set INFERMESH_MODELS to another folder, and pull again to continue`;
  return new Fault('MODEL_UNAVAILABLE', message, { facts: { model: name }, cause });
}

export function unwritable(name: string, folder: string, code: string, cause?: unknown): Fault {
  const message = `${name} cannot be kept: ${folder} cannot be written (${code}); set INFERMESH_MODELS to a folder that can`;
  return new Fault('MODEL_UNAVAILABLE', message, { facts: { model: name }, cause });
}

const DISK_CODES = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO', 'EROFS', 'EACCES', 'EPERM', 'ELOOP'];

/** Whether it is this machine's disk that failed, which asking a server again doesn't mend. */
export function isDiskError(error: unknown): boolean {
  return DISK_CODES.includes((error as NodeJS.ErrnoException).code ?? '');
}

export function unreachable(name: string, where: string, code: string, cause?: unknown): Fault {
  const message = `${name} cannot be fetched: ${where} cannot be reached (${code}); check the network, and pull again to continue where it stopped`;
  return new Fault('UNREACHABLE', message, { facts: { model: name }, cause });
}

/** The server answered, and will not give it. */
export function refused(name: string, where: string, status: number, cause?: unknown): Fault {
  const facts = { model: name, status: String(status) };
  if (status === 401 || status === 403) {
    return new Fault('MODEL_UNAVAILABLE', `${where} asks for a login before it gives ${name} (HTTP ${status})`, { facts, cause });
  }
  if (status === 404) {
    return new Fault('MODEL_NOT_FOUND', `${where} does not have ${name} (HTTP 404); is it the right registry or mirror?`, {
      facts,
      cause,
    });
  }
  return new Fault('UNREACHABLE', `${where} does not give ${name} now (HTTP ${status}); try again later`, { facts, cause });
}

export function cancelled(): Fault {
  return new Fault('CANCELLED', 'cancelled');
}

function megabytes(count: number): string {
  return `${Math.ceil(count / 1e6).toLocaleString('en')} MB`;
}
