/** Files of settings that a router is told of. */
import { readFileSync } from 'node:fs';
import { Fault } from '../proto/contract/faults.ts';

/** @param what it is: the policy file @throws Fault INVALID_REQUEST that names the file */
export function readSettingsFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Fault('INVALID_REQUEST', `cannot read ${what} ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}
