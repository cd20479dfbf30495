/**
 * How a node proves that it holds its key. It names the key's public half when it opens its stream; the router answers
 * with a challenge, new for every stream; the node's hello carries a signature of that challenge. A signature that was
 * overheard is therefore of no use on another stream, and neither side needs the other's clock.
 *
 * The signature covers the node's id and the token that comes along, so that neither can be exchanged on the way.
 */
import type { KeyObject } from 'node:crypto';
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import type { RawDuplex } from './handlers.ts';

/** Metadata of the node: its public key, 32 bytes in base64url. */
export const NODE_KEY = 'infermesh-node-key';
/** Metadata of the router: 32 bytes in base64url. */
export const CHALLENGE = 'infermesh-challenge';

const PUBLIC_KEY = /^[A-Za-z0-9_-]{43}$/;
/** What ASN.1 puts before the 32 bytes of an Ed25519 public key. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

export interface Proven {
  readonly challenge: string;
  readonly nodeId: string;
  /** Empty where none comes along. */
  readonly token: string;
}

export function newChallenge(): string {
  return randomBytes(32).toString('base64url');
}

/** Goes out at once, before any frame. */
export function sendChallenge(call: RawDuplex, challenge: string): void {
  const metadata = new Metadata();
  metadata.set(CHALLENGE, challenge);
  call.sendMetadata(metadata);
}

export function newNodeKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

/** @returns the public half as it travels */
export function publicHalf(key: KeyObject): string {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return der.subarray(SPKI_HEAD.length).toString('base64url');
}

export function signProof(key: KeyObject, proven: Proven): Buffer {
  return sign(null, textOf(proven), key);
}

/** @param publicKey as it came: whatever is no key has signed nothing */
export function provesKey(publicKey: string, signature: Uint8Array, proven: Proven): boolean {
  if (!PUBLIC_KEY.test(publicKey)) return false;
  const der = Buffer.concat([SPKI_HEAD, Buffer.from(publicKey, 'base64url')]);
  try {
    return verify(null, textOf(proven), createPublicKey({ key: der, type: 'spki', format: 'der' }), signature);
  } catch {
    return false; // 32 bytes that are no point of the curve.
  }
}

function textOf({ challenge, nodeId, token }: Proven): Buffer {
  const tokenDigest = createHash('sha256').update(token).digest('hex');
  return Buffer.from(['infermesh node 1', challenge, nodeId, tokenDigest].join('\n'));
}
