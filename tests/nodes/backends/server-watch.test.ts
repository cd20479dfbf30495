import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ServerWatch } from '../../../nodes/backends/server-watch.ts';
import { Fault } from '../../../proto/contract/faults.ts';

const GONE = new Fault('UNREACHABLE', 'nobody there');
const probe = vi.fn<() => Promise<unknown>>();
const onLost = vi.fn();
let watch: ServerWatch;

beforeEach(() => {
  vi.useFakeTimers();
  probe.mockReset().mockResolvedValue('0.34.0');
  onLost.mockReset();
  watch = new ServerWatch(probe, onLost);
});
afterEach(() => {
  watch.stop();
  vi.useRealTimers();
});

test('a server is looked at every 5 s, and one that answers is not lost', async () => {
  watch.start();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(probe).toHaveBeenCalledTimes(12);
  expect(onLost).not.toHaveBeenCalled();
});

test('a server that dies while nothing runs is lost at the second look, and told of once', async () => {
  watch.start();
  probe.mockRejectedValue(GONE);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(onLost).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(250);
  expect(onLost.mock.calls).toEqual([['nobody there']]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([probe.mock.calls.length, onLost.mock.calls.length]).toEqual([2, 1]);
});

test('one look that fails is forgotten by the next that does not', async () => {
  watch.start();
  for (let i = 0; i < 5; i++) {
    probe.mockRejectedValueOnce(GONE);
    await vi.advanceTimersByTimeAsync(5_250);
  }
  expect(onLost).not.toHaveBeenCalled();
});

test('a failure has the server looked at at once, and many of them once', async () => {
  watch.start();
  probe.mockRejectedValue(GONE);
  for (let i = 0; i < 10; i++) watch.look();
  expect(probe).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(250);
  expect(onLost).toHaveBeenCalledOnce();
});

test('nothing is looked at before it starts and after it stops', async () => {
  watch.look();
  watch.start();
  probe.mockImplementation(() => new Promise((_, reject) => setTimeout(() => reject(GONE), 1_000)));
  await vi.advanceTimersByTimeAsync(5_500);
  watch.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  watch.look();
  expect([probe.mock.calls.length, onLost.mock.calls.length]).toEqual([1, 0]);
});
