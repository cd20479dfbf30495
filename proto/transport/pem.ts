/** Certificates and keys from files, with a fault that names the flag and the file. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Fault } from '../contract/faults.ts';

/**
 * @param flag the setting that named the file, such as --tls-ca
 * @throws Fault INVALID_REQUEST when the file can't be read, or holds no certificate or key in PEM
 */
export function readPem(path: string, flag: string, kind: 'certificate' | 'key' = 'certificate'): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new Fault('INVALID_REQUEST', `${flag}: cannot read ${path} (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  try {
    if (kind === 'key') createPrivateKey(bytes);
    else new X509Certificate(bytes);
  } catch (cause) {
    throw new Fault('INVALID_REQUEST', `${flag}: ${path} holds no ${kind} in PEM`, { cause });
  }
  return bytes;
}
