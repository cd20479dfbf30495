import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BACKOFF, restartDelayMs } from '../../../nodes/engine/backoff.ts';
import { LastWords } from '../../../nodes/engine/last-words.ts';

test('the pause before a restart grows, stays under its bound and is spread over a half', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (crashes, random) => {
      const delay = restartDelayMs(crashes, random);
      const full = Math.min(BACKOFF.longestMs, BACKOFF.firstMs * 2 ** (crashes - 1));
      expect(delay).toBeGreaterThanOrEqual(full / 2);
      expect(delay).toBeLessThanOrEqual(full);
    }),
  );
  expect([1, 2, 3].map((crashes) => restartDelayMs(crashes, 0))).toEqual([125, 250, 500]);
});

describe('last words of an engine', () => {
  test('are found across chunks, the last few of them', () => {
    const words = new LastWords();
    for (const chunk of ['noise\nGGML_AS', 'SERT(x) failed\n', ...'abcde'.split('').map((each) => `CUDA error: ${each}\n`)])
      words.push(chunk);
    expect(words.toString()).toBe('CUDA error: b | CUDA error: c | CUDA error: d | CUDA error: e');
  });

  test('never include a line that may quote a user', () => {
    const words = new LastWords();
    words.push('Error: the prompt was canary-7f3a\nroot ::= "canary-7f3a"\nGGML_ASSERT(n < m) failed\n');
    expect(words.toString()).toBe('GGML_ASSERT(n < m) failed');
  });
});
