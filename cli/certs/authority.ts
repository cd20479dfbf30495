/**
 * A certificate authority for development: keys of the curve P-256, made here and now. In earnest one's own authority
 * signs certificates with the same names.
 */
// The library keeps its parts in a container that wants this first.
import 'reflect-metadata';
import type { webcrypto } from 'node:crypto';
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

/** For whom a certificate is: routers prove hosts, nodes and clients prove names. */
export type Bearer =
  | { readonly type: 'router'; readonly hosts: readonly string[] }
  | { readonly type: 'node'; readonly id: string }
  | { readonly type: 'client'; readonly name: string };

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** By the clocks of machines that are a little behind. */
const SLACK_MS = 3_600_000;
const DAY_MS = 86_400_000;
const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;

export class Authority {
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #certificate: x509.X509Certificate;
  readonly #validity: { readonly notBefore: Date; readonly notAfter: Date };

  private constructor(keys: webcrypto.CryptoKeyPair, certificate: x509.X509Certificate) {
    this.#keys = keys;
    this.#certificate = certificate;
    const { notBefore, notAfter } = certificate;
    this.#validity = { notBefore, notAfter };
  }

  /** @param now milliseconds since 1970 */
  static async create(days: number, now = Date.now()): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: newSerial(),
      name: `CN=infermesh development CA ${randomBytes(4).toString('hex')}`,
      notBefore: new Date(now - SLACK_MS),
      notAfter: new Date(now + days * DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Authority(keys, certificate);
  }

  /** One that was made before, to go on with. @throws Error when the files are none of `own` */
  static async open({ cert, key }: Certificate): Promise<Authority> {
    const [privateKey, publicKey] = [createPrivateKey(key), createPublicKey(key)];
    const keys = {
      privateKey: await crypto.subtle.importKey('pkcs8', privateKey.export({ type: 'pkcs8', format: 'der' }), ALGORITHM, true, [
        'sign',
      ]),
      publicKey: await crypto.subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), ALGORITHM, true, [
        'verify',
      ]),
    };
    return new Authority(keys, new x509.X509Certificate(cert));
  }

  /** What the others are checked by, and signed with. */
  async own(): Promise<Certificate> {
    return { cert: `${this.#certificate.toString('pem')}\n`, key: await pemOf(this.#keys.privateKey) };
  }

  async issue(bearer: Bearer): Promise<Certificate> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      ...this.#validity,
      serialNumber: newSerial(),
      issuer: this.#certificate.subject,
      subject: `CN=infermesh ${bearer.type}`,
      signingAlgorithm: ALGORITHM,
      signingKey: this.#keys.privateKey,
      publicKey: keys.publicKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([bearer.type === 'router' ? serverAuth : clientAuth]),
        new x509.SubjectAlternativeNameExtension(namesOf(bearer)),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return { cert: `${certificate.toString('pem')}\n`, key: await pemOf(keys.privateKey) };
  }
}

/** The name that a node's or client's certificate has. */
export function uriOf(kind: 'node' | 'client', name: string): string {
  return `infermesh://${kind}/${name}`;
}

function namesOf(bearer: Bearer): x509.JsonGeneralNames {
  switch (bearer.type) {
    case 'router':
      return bearer.hosts.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }));
    case 'node':
      return [{ type: 'url', value: uriOf('node', bearer.id) }];
    case 'client':
      return [{ type: 'url', value: uriOf('client', bearer.name) }];
  }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** Positive, as it must be. */
function newSerial(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), x509.PemConverter.PrivateKeyTag)}\n`;
}
