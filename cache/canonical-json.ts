/** JSON in one form: names in order, no white space. Pure. */

/** Deeper is nothing that anybody writes, and the stack ends somewhere. */
const MOST_DEPTH = 256;

/**
 * Numbers are those that JavaScript reads: two that it takes for one are one. What JSON leaves out, such as undefined in
 * an object, is left out.
 * @throws RangeError for what is nested deeper than 256
 */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > MOST_DEPTH) throw new RangeError(`must be nested at most ${MOST_DEPTH} deep`);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field, depth + 1)}`);
    return `{${fields.join(',')}}`;
  }
  // JSON would write null for a number that is too large for it.
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'undefined');
}
