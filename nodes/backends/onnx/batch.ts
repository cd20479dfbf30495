/** Which texts are read together. Pure. */

export interface BatchLimits {
  /** Texts. */
  readonly texts: number;
  /** Texts times the tokens of the longest, which all others are filled up to. */
  readonly tokens: number;
}

/** At most half of what is computed may be filling: beyond that, two runs are faster than one. */
const MOST_FILLING = 0.5;

/**
 * Takes the next texts from the front of each list, one of each list in turns, so that a short list waits for no long one.
 * @param lists what each embed still wants, its shortest text first; what is taken is removed from them
 * @returns at least one where any list has one, even if it is over the limit by itself
 */
export function nextBatch<Text extends { readonly tokens: { readonly length: number } }>(
  lists: readonly Text[][],
  limits: BatchLimits,
): Text[] {
  const batch: Text[] = [];
  let longest = 0;
  let sum = 0;
  const fits = ({ tokens: { length } }: Text) => {
    const size = (batch.length + 1) * Math.max(longest, length);
    return batch.length < limits.texts && size <= limits.tokens && sum + length >= size * (1 - MOST_FILLING);
  };
  let took = true;
  while (took) {
    took = false;
    for (const list of lists) {
      const [text] = list;
      if (text === undefined || (batch.length > 0 && !fits(text))) continue;
      batch.push(text);
      list.shift();
      longest = Math.max(longest, text.tokens.length);
      sum += text.tokens.length;
      took = true;
    }
  }
  return batch;
}
