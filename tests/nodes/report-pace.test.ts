import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ReportPace } from '../../nodes/report-pace.ts';

const report = vi.fn();
let pace: ReportPace<string>;

beforeEach(() => {
  vi.useFakeTimers();
  report.mockClear();
  pace = new ReportPace<string>(report);
});
afterEach(() => {
  pace.stop();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Reports of the next ten seconds. */
function inTenSeconds(): number {
  report.mockClear();
  vi.advanceTimersByTime(10_000);
  return report.mock.calls.length;
}

it('reports each second where no router asks for anything', () => {
  expect(inTenSeconds()).toBe(10);
  pace.asked('a', 0);
  expect(inTenSeconds()).toBe(10);
});

it('reports as often as the router that wants it most often, while it is there', () => {
  pace.asked('a', 2000);
  expect(inTenSeconds()).toBe(5);
  pace.asked('b', 500);
  expect(inTenSeconds()).toBe(20);
  pace.gone('b');
  expect(inTenSeconds()).toBe(5);
  pace.gone('a');
  expect(inTenSeconds()).toBe(10);
});

it.each([
  [1, 100],
  [4_294_967_295, 1],
])('clamps a wish for a report each %d ms', (intervalMs, reports) => {
  pace.asked('a', intervalMs);
  expect(inTenSeconds()).toBe(reports);
});

it('reports 20 ms after the first of several changes, once', () => {
  pace.soon();
  vi.advanceTimersByTime(15);
  pace.soon();
  expect(report).not.toHaveBeenCalled();
  vi.advanceTimersByTime(5);
  expect(report).toHaveBeenCalledOnce();
  vi.advanceTimersByTime(100);
  expect(report).toHaveBeenCalledOnce();
});
