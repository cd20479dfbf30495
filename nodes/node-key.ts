/** The key that is a node's own: made at its first join, in a file that only its owner reads, and never sent anywhere. */
import type { KeyObject } from 'node:crypto';
import { createPrivateKey } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import envPaths from 'env-paths';
import { Fault } from '../proto/contract/faults.ts';
import { newNodeKey } from '../proto/transport/node-proof.ts';

/** Where the key of a node lies that was not told otherwise. */
export function defaultKeyFile(nodeId: string): string {
  return join(envPaths('infermesh', { suffix: '' }).data, 'node-keys', `${nodeId}.pem`);
}

export function hasNodeKey(path: string): boolean {
  return existsSync(path);
}

/** @throws Fault INVALID_REQUEST when the file holds something else, or can't be made */
export function readOrCreateNodeKey(path: string): KeyObject {
  if (!existsSync(path)) create(path);
  let key: KeyObject;
  try {
    key = createPrivateKey(readFileSync(path));
  } catch (cause) {
    throw new Fault('INVALID_REQUEST', `--key-file: ${path} holds no private key in PEM`, { cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new Fault('INVALID_REQUEST', `--key-file: ${path} must hold an Ed25519 key, received ${key.asymmetricKeyType}`);
  }
  return key;
}

function create(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, newNodeKey().export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new Fault('INVALID_REQUEST', `--key-file: cannot make ${path}: ${code}`, { cause });
  }
}
