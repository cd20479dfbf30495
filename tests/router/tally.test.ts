import { describe, expect, it } from 'vitest';
import { Tally } from '../../router/tally.ts';

describe('a tally', () => {
  it('counts what is open, and frees each once however often it is disposed', () => {
    const tally = new Tally();
    const [a, b, c] = [tally.request(), tally.request(), tally.attempt()];
    expect([tally.requestsOpen, tally.attemptsOpen]).toEqual([2, 1]);
    for (const one of [a, a, c, c]) one[Symbol.dispose]();
    expect([tally.requestsOpen, tally.attemptsOpen]).toEqual([1, 0]);
    b[Symbol.dispose]();
    expect(tally.requestsOpen).toBe(0);
  });

  it('is idle at once when nothing is open, and else when the last one ends', async () => {
    const tally = new Tally();
    await tally.idle(60_000);
    const request = tally.request();
    let idle = false;
    const waiting = tally.idle(60_000).then(() => {
      idle = true;
    });
    await Promise.resolve();
    expect(idle).toBe(false);
    request[Symbol.dispose]();
    await waiting;
    expect(idle).toBe(true);
  });

  it('waits no longer than it was told to', async () => {
    const tally = new Tally();
    using _open = tally.request();
    await tally.idle(10);
    expect(tally.requestsOpen).toBe(1);
  });
});
