/** Rows -> their features, read as the classifier reads a prompt. */
import { Reader } from '../classify/features.ts';
import { SHAPES } from '../classify/shape.ts';
import type { Row } from './data.ts';
import type { Sparse } from './sparse.ts';

export interface Prepared {
  /** Rows x shapes. */
  readonly shape: Float32Array;
  readonly sparse: Sparse;
}

export function prepare(rows: readonly Row[]): Prepared {
  const reader = new Reader();
  const shape = new Float32Array(rows.length * SHAPES.length);
  const offsets = new Int32Array(rows.length + 1);
  const lists: Uint16Array[] = [];
  for (const [index, { prompt }] of rows.entries()) {
    reader.read(prompt);
    shape.set(reader.shape, index * SHAPES.length);
    const list = reader.buckets.list.slice(0, reader.buckets.count);
    lists.push(list);
    offsets[index + 1] = (offsets[index] as number) + list.length;
  }
  const buckets = new Uint16Array(offsets[rows.length] as number);
  for (const [index, list] of lists.entries()) buckets.set(list, offsets[index] as number);
  return { shape, sparse: { offsets, buckets } };
}
