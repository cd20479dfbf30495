/** What a tenant's prompts are named, hashed and hidden by; all of it follows from the tenant's keys. */
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Key, TenantKeys } from '../port.ts';
import { Rotation } from './hiding.ts';
import type { Partition } from './port.ts';

/** Of an embedding model; vectors of two are never compared. */
export interface EmbeddingModel {
  readonly name: string;
  readonly digest: string;
  readonly dimensions: number;
}

/** One partition, with the key that its entries are sealed by. */
export interface Place extends Partition {
  readonly key: Key;
}

/** Of a hash of a word: a clash takes two prompts for alike once in 2^64. */
const MAC_BYTES = 8;
const ID_BYTES = 16;
/** Rotations of 384 dimensions take 6 KiB each. */
const MOST_ROTATIONS = 1024;

export class Secrets {
  readonly #ofTenant = new WeakMap<TenantKeys, TenantSecrets>();
  readonly #rotations = new LRUCache<string, Rotation>({ max: MOST_ROTATIONS });

  of(keys: TenantKeys): TenantSecrets {
    const known = this.#ofTenant.get(keys);
    if (known) return known;
    const made = new TenantSecrets(keys, this.#rotations);
    this.#ofTenant.set(keys, made);
    return made;
  }
}

export class TenantSecrets {
  readonly #keys: TenantKeys;
  readonly #rotations: LRUCache<string, Rotation>;
  /** The name of a value that is never stored: nobody but who has the tenant's keys can know it. */
  readonly #secret: string;

  constructor(keys: TenantKeys, rotations: LRUCache<string, Rotation>) {
    this.#keys = keys;
    this.#rotations = rotations;
    this.#secret = keys.key('semantic', contentOf('secret')).name;
  }

  /** @param scope all of a request but what is compared */
  place(scope: Uint8Array, { name, digest, dimensions }: EmbeddingModel): Place {
    const key = this.#keys.key('semantic', contentOf('place', name, digest, String(dimensions), scope));
    return { name: key.name, dimensions, key };
  }

  mac(text: string): string {
    return this.#hash(`word ${text}`, MAC_BYTES);
  }

  /** @param reference of an answer */
  id(reference: Uint8Array): string {
    return this.#hash(`entry ${Buffer.from(reference).toString('base64url')}`, ID_BYTES);
  }

  hidden(vector: Float32Array): Float32Array {
    const which = `${vector.length} ${this.#secret}`;
    const known = this.#rotations.get(which);
    if (known) return known.turned(vector);
    const made = new Rotation(Buffer.from(`rotation ${this.#secret}`), vector.length);
    this.#rotations.set(which, made);
    return made.turned(vector);
  }

  /** Half of a hash or less goes out, by which nobody can go on where it ended; HMAC would take three times as long. */
  #hash(what: string, bytes: number): string {
    return hash('sha256', `${this.#secret} ${what}`, 'buffer').subarray(0, bytes).toString('base64url');
  }
}

/** Parts with their lengths before them, so that no bytes can move from one to the next. */
function contentOf(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = Buffer.from(part as Uint8Array);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}
