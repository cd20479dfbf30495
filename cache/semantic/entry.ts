/** What lies sealed beside a vector in an index: the vector itself, the facts of the prompt, and where its answer is. */
import { z } from 'zod';
import type { Sketch } from './agree.ts';
import { quantised, restored } from './vectors.ts';

export interface Remembered {
  /** Of the answer; opaque. */
  readonly reference: Buffer;
  readonly sketch: Sketch;
  readonly vector: Float32Array;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

const list = z.array(z.string());
const pairs = z.array(z.tuple([z.string(), z.string()]));
const form = z.object({
  reference: z.string(),
  vector: z.string(),
  expiresAt: z.number(),
  sketch: z.object({
    language: z.string(),
    question: z.string(),
    bound: z.string(),
    exact: z.string(),
    names: list,
    sides: pairs,
    tenses: z.string(),
    possessors: list,
    words: list,
    free: list,
    roles: pairs,
  }),
});

export function encoded({ reference, sketch, vector, expiresAt }: Remembered): Buffer {
  const steps = Buffer.from(quantised(vector).buffer).toString('base64');
  return Buffer.from(JSON.stringify({ reference: reference.toString('base64'), vector: steps, expiresAt, sketch }));
}

/** Undefined: not of this form. */
export function decoded(bytes: Buffer): Remembered | undefined {
  try {
    const { reference, vector, expiresAt, sketch } = form.parse(JSON.parse(bytes.toString()));
    const steps = new Int8Array(Buffer.from(vector, 'base64'));
    return { reference: Buffer.from(reference, 'base64'), vector: restored(steps), expiresAt, sketch };
  } catch {
    return undefined;
  }
}
