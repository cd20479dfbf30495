/**
 * Names and seals of values, all from one secret of the mesh:
 *
 *   secret -HKDF-> tenant's secret -HKDF-> a naming key and a sealing key for each kind of value
 *
 *   name of a value = HMAC(naming key, content)      key of its envelope = HMAC(sealing key, name)
 *
 * So a tenant can neither name nor open what is another's, and a change of anything in the content (the model's digest,
 * a parameter, one letter) is another name.
 */
import type { KeyObject } from 'node:crypto';
import { createHmac, createSecretKey, hkdfSync } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { open, seal } from './envelope.ts';
import { meshName, nameOf, RELEASE } from './names.ts';
import type { Key, KeyKind, Keyring, TenantKeys } from './port.ts';

/** Tenants whose keys are at hand; those of others are made again. */
const MOST_TENANTS = 4096;
const KEY_BYTES = 32;
/** 96 bits: two tenants with one tag would be purged together, and nothing worse. */
const TAG_BYTES = 12;

export class SecretKeyring implements Keyring {
  readonly #tenantsKey: KeyObject;
  readonly #tagKey: KeyObject;
  readonly #meshNaming: KeyObject;
  readonly #meshSealing: KeyObject;
  readonly #tenants = new LRUCache<string, SecretTenantKeys>({ max: MOST_TENANTS });

  /** @param secret of the mesh; routers with the same one share values */
  constructor(secret: string) {
    const root = createSecretKey(Buffer.from(secret));
    this.#tenantsKey = derived(root, 'tenants');
    this.#tagKey = derived(root, 'tags');
    this.#meshNaming = derived(root, 'name mesh');
    this.#meshSealing = derived(root, 'seal mesh');
  }

  of(tenant: string | undefined): TenantKeys {
    const id = identity(tenant);
    const known = this.#tenants.get(id);
    if (known) return known;
    const made = new SecretTenantKeys(derived(this.#tenantsKey, id), this.tagOf(tenant));
    this.#tenants.set(id, made);
    return made;
  }

  /** What stands for a tenant in the names of its values. */
  tagOf(tenant: string | undefined): string {
    return hmac(this.#tagKey, identity(tenant)).subarray(0, TAG_BYTES).toString('base64url');
  }

  /** Of a value that is the mesh's own. */
  ofMesh(what: string): Key {
    return new SealedName(meshName(hmac(this.#meshNaming, what).toString('base64url')), this.#meshSealing);
  }

  /** Under a name that every mesh gives it, whatever its secret. */
  inTheOpen(what: string): Key {
    return new SealedName(meshName(what), this.#meshSealing);
  }
}

class SecretTenantKeys implements TenantKeys {
  readonly #secret: KeyObject;
  readonly #tag: string;
  readonly #kinds = new Map<KeyKind, { readonly naming: KeyObject; readonly sealing: KeyObject }>();

  constructor(secret: KeyObject, tag: string) {
    this.#secret = secret;
    this.#tag = tag;
  }

  key(kind: KeyKind, content: Uint8Array): Key {
    const { naming, sealing } = this.#keysOf(kind);
    return new SealedName(nameOf(kind, this.#tag, hmac(naming, content).toString('base64url')), sealing);
  }

  #keysOf(kind: KeyKind) {
    const known = this.#kinds.get(kind);
    if (known) return known;
    const made = { naming: derived(this.#secret, `name ${kind}`), sealing: derived(this.#secret, `seal ${kind}`) };
    this.#kinds.set(kind, made);
    return made;
  }
}

class SealedName implements Key {
  readonly name: string;
  readonly #sealing: KeyObject;

  constructor(name: string, sealing: KeyObject) {
    this.name = name;
    this.#sealing = sealing;
  }

  seal(value: Uint8Array): Buffer {
    return seal(hmac(this.#sealing, this.name), this.name, value);
  }

  open(sealed: Buffer): Buffer | undefined {
    return open(hmac(this.#sealing, this.name), this.name, sealed);
  }
}

/** The tenant without a name is like none that has one, an empty one included. */
function identity(tenant: string | undefined): string {
  return tenant === undefined ? 'nobody' : `tenant ${tenant}`;
}

/** As an object, which is five times as fast to use as its bytes. */
function derived(from: KeyObject, what: string): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync('sha256', from, `infermesh cache ${RELEASE}`, what, KEY_BYTES)));
}

function hmac(key: KeyObject, content: string | Uint8Array): Buffer {
  return createHmac('sha256', key).update(content).digest();
}
