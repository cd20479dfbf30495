import { expect, it } from 'vitest';
import { systemClock } from '../../router/clock.ts';

/** So that timers start at any fraction of a millisecond. */
const spin = (ms: number) => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};

it('the clock of the system wakes nobody before the time, be it by a fraction of a millisecond', async () => {
  const waited: number[] = [];
  for (let turn = 0; turn < 400; turn++) {
    spin((turn % 100) / 100);
    const from = systemClock.now();
    await new Promise<void>((resolve) => systemClock.after(3, resolve));
    waited.push(systemClock.now() - from);
  }
  expect(Math.min(...waited)).toBeGreaterThanOrEqual(3);
});

it('and nobody who has cancelled', async () => {
  let woken = 0;
  const cancel = systemClock.after(5, () => woken++);
  cancel();
  await new Promise<void>((resolve) => systemClock.after(20, resolve));
  expect(woken).toBe(0);
});
