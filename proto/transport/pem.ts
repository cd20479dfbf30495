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

export interface Identity {
  /** PEM, the certificate first and then those between it and its authority. */
  readonly cert: Buffer;
  /** PEM of its private key. */
  readonly key: Buffer;
}

/**
 * What a process proves who it is with: the files of --tls-cert and --tls-key.
 * @returns undefined where neither is named
 * @throws Fault INVALID_REQUEST when one can't be read, or they don't belong together
 */
export function readIdentity(certPath: string | undefined, keyPath: string | undefined): Identity | undefined {
  if (certPath === undefined && keyPath === undefined) return undefined;
  if (certPath === undefined || keyPath === undefined) {
    throw new Fault('INVALID_REQUEST', '--tls-cert and --tls-key need each other');
  }
  const cert = readPem(certPath, '--tls-cert');
  const key = readPem(keyPath, '--tls-key', 'key');
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Fault('INVALID_REQUEST', `--tls-key: ${keyPath} is not the key of the certificate in ${certPath}`);
  }
  return { cert, key };
}

/**
 * The DNS and URI names of a certificate.
 * @param alternatives as Node renders them: DNS:a.example, IP Address:127.0.0.1, URI:infermesh://node/a
 */
export function namesIn(alternatives = ''): readonly string[] {
  // Node quotes a name that could be read as several. None of ours looks so, and such a certificate names nobody.
  if (alternatives.includes('"')) return [];
  return alternatives.split(', ').flatMap((alternative) => {
    const [, kind, name = ''] = /^(DNS|URI):(.+)$/.exec(alternative) ?? [];
    return kind === undefined ? [] : [kind === 'DNS' ? name.toLowerCase() : name];
  });
}
