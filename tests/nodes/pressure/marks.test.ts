import { describe, expect, test } from 'vitest';
import { marksOf } from '../../../nodes/pressure/marks.ts';
import { nodeSettings } from '../../../nodes/settings.ts';

const settings = (flags: Record<string, string>) => nodeSettings({ flags: { tokenFile: '/token', ...flags } });

describe('the marks of memory', () => {
  test('are 75 and 85 %, and the critical one is 95', () => {
    expect(marksOf(settings({}))).toEqual({ low: 0.75, high: 0.85, critical: 0.95 });
  });

  test('may be moved; a high one over the critical one moves it halfway to the end', () => {
    expect(marksOf(settings({ memoryHigh: '96%', memoryLow: '7.5%' }))).toEqual({ low: 0.075, high: 0.96, critical: 0.98 });
  });

  test.each([
    [{ memoryLow: '85%' }, '--memory-low must be under --memory-high, 85%; received 85%'],
    [{ memoryHigh: '99%' }, '--memory-high must be a share from 10% to 98%, received "99%"'],
    [{ memoryHigh: '0.85' }, '--memory-high must be a share from 10% to 98%, received "0.85"'],
    [{ memoryLow: '4%' }, '--memory-low must be a share from 5% to 97%, received "4%"'],
    [{ memoryLimit: '0GB' }, '--memory-limit must be a share such as 80%, or a size such as 6GB or 512MiB, received "0GB"'],
  ])('are refused as %j', (flags, message) => expect(() => settings(flags)).toThrow(message));
});
