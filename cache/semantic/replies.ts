/** What Redis replies, as far as an index looks at it; and vectors as it takes them. Pure. */

/** Little-endian floats of 32 bits, as both kinds of index take them. */
export function bytesOf(vector: Float32Array): Buffer {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes;
}

/** Empty for what is no text. */
export function textOf(reply: unknown): string {
  return typeof reply === 'string' || Buffer.isBuffer(reply) ? reply.toString() : '';
}

/** Empty for what is no list. */
export function listOf(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}

/** A map of RESP3 in whatever form the client gives it, or the same as a list of names and values. */
export function fieldsOf(reply: unknown): ReadonlyMap<string, unknown> {
  if (reply instanceof Map) return new Map([...reply].map(([name, value]) => [textOf(name), value]));
  if (Array.isArray(reply)) {
    const pairs = Array.from({ length: Math.floor(reply.length / 2) }, (_, i): [string, unknown] => [
      textOf(reply[i * 2]),
      reply[i * 2 + 1],
    ]);
    return new Map(pairs);
  }
  return new Map(typeof reply === 'object' && reply !== null && !Buffer.isBuffer(reply) ? Object.entries(reply) : []);
}
