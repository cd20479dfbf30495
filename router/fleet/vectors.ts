/** What nodes say of embeds, brought to what can be true. Pure. */
import type { Embedded } from '../../proto/gen/infermesh/v1/link.ts';

/** By how much a vector's length may differ from 1: the numbers have 32 bits, and some engines count in 16. */
const LENGTH_TOLERANCE = 0.01;

/** @returns the vectors, of length 1; or what is wrong with them */
export function checkedVectors(
  { vectors }: Pick<Embedded, 'vectors'>,
  count: number,
  dimensions: number,
): readonly Float32Array[] | string {
  if (vectors.length !== count) return `${vectors.length} vectors came for ${count} texts`;
  const checked: Float32Array[] = [];
  for (const { values } of vectors) {
    if (values.length !== dimensions) return `a vector has ${values.length} numbers instead of ${dimensions}`;
    const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    if (!(Math.abs(length - 1) <= LENGTH_TOLERANCE)) return 'a vector is not of length 1';
    checked.push(Float32Array.from(values, (value) => value / length));
  }
  return checked;
}
