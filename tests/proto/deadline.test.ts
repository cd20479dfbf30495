import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clampDeadline, DEFAULT_DEADLINE_MS, MAX_DEADLINE_MS, parseTimeout } from '../../proto/transport/deadline.ts';

describe('a grpc-timeout header', () => {
  it.each([
    ['0S', 0],
    ['1n', 1],
    ['1u', 1],
    ['1500u', 2],
    ['20m', 20],
    ['5S', 5000],
    ['2M', 120_000],
    ['1H', 3_600_000],
    ['2H', MAX_DEADLINE_MS],
    ['2592000S', MAX_DEADLINE_MS],
    ['99999999H', MAX_DEADLINE_MS],
  ])('%s is %d ms', (header, ms) => expect(parseTimeout(header)).toBe(ms));

  it.each(['', '5', 'S', '-5S', '+5S', '1.5S', ' 5S', '5S ', '5 S', '5s', '123456789S', '5S, 5S', '٥S', 'NaN', 'soon'])(
    '"%s" is no timeout',
    (header) => expect(parseTimeout(header)).toBeUndefined(),
  );

  it('is whole milliseconds within the bounds, or nothing, whatever came', () => {
    const near = fc
      .tuple(fc.integer({ min: -10, max: 1e9 }), fc.constantFrom('H', 'M', 'S', 'm', 'u', 'n', 'x', ''))
      .map(([n, unit]) => `${n}${unit}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (header) => {
        const ms = parseTimeout(header);
        if (ms === undefined) return;
        expect(Number.isInteger(ms)).toBe(true);
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(MAX_DEADLINE_MS);
        expect(ms === 0).toBe(/^0+.$/.test(header));
      }),
    );
  });
});

describe('a deadline that a program asks for', () => {
  it('is 120 s when it asks for none, and within 0 to 1 h', () => {
    expect([undefined, -5, 0, 1000, 1e12].map(clampDeadline)).toEqual([DEFAULT_DEADLINE_MS, 0, 0, 1000, MAX_DEADLINE_MS]);
  });
});
