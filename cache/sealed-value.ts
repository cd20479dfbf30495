/**
 * A value as it lies in a store: the time at which it ends, and the value, in one envelope. So neither a store's clock nor
 * whoever can write to it makes a value last longer.
 */
import type { Codec } from './codecs.ts';
import { float64 } from './codecs.ts';
import { MAX_VALUE_BYTES } from './envelope.ts';
import type { Key } from './port.ts';

/** The longest that anything is kept, whoever asks for it. */
export const MAX_TTL_MS = 24 * 3_600_000;
const TIME_BYTES = 8;

export interface Timed<Value> {
  readonly value: Value;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Undefined: too large. */
export function sealValue<Value>(key: Key, { value, expiresAt }: Timed<Value>, codec: Codec<Value>): Buffer | undefined {
  const encoded = codec.encode(value);
  if (encoded.length + TIME_BYTES > MAX_VALUE_BYTES) return undefined;
  return key.seal(Buffer.concat([float64(expiresAt), encoded]));
}

/** Undefined: not sealed for this key, or no such value. */
export function openValue<Value>(key: Key, sealed: Buffer, codec: Codec<Value>): Timed<Value> | undefined {
  const opened = key.open(sealed);
  if (!opened || opened.length < TIME_BYTES) return undefined;
  const expiresAt = opened.readDoubleLE(0);
  if (!Number.isFinite(expiresAt)) return undefined;
  try {
    return { expiresAt, value: codec.decode(opened.subarray(TIME_BYTES)) };
  } catch {
    return undefined;
  }
}
