import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../../router/select/decide.ts';
import { estimate, onGrid, overloaded } from '../../../router/select/estimate.ts';
import { couldServe } from '../../../router/select/worth.ts';
import { ask, candidate, knowledge } from './builders.ts';

describe('an estimate', () => {
  it('is prompt over prefill and answer over decode', () => {
    expect(estimate(candidate('n'), ask())).toEqual({
      waitMs: 0,
      firstTokenMs: 100,
      totalMs: 100 + 5120,
      soonestMs: 100,
      engineMs: 100 + 5120,
    });
  });

  it('reads only what is not in the KV cache', () => {
    expect(estimate(candidate('n'), ask(), 75)).toMatchObject({ firstTokenMs: 25, totalMs: 25 + 5120, soonestMs: 25 });
  });

  it.each([1, 4])('waits for what is outstanding, by tokens, however many slots share the engine (%i)', (slots) => {
    const full = candidate('n', { slots }, { freeSlots: 0, running: slots, queuedPromptTokens: 500, expectedTokens: 400 });
    expect(estimate(full, ask()).waitMs).toBe(500 + 8000);
  });

  it('waits for half an answer where nothing is known of what takes the slots', () => {
    expect(estimate(candidate('n', {}, { freeSlots: 0, running: 4 }), ask()).waitMs).toBe(5120 / 2);
  });

  it('waits for those who stand in the line before, as if they needed as much', () => {
    const full = { freeSlots: 0, running: 4, expectedTokens: 400 };
    const alone = estimate(candidate('n', {}, full), ask());
    const behind = estimate(candidate('n', {}, { ...full, waiting: 2 }), ask());
    expect(behind.waitMs - alone.waitMs).toBe(2 * 5220);
    expect(behind.soonestMs).toBe(alone.soonestMs);
  });

  it('refuses nobody whom an engine could serve in time that is as fast with all its slots', () => {
    const full = candidate('n', { slots: 100 }, { freeSlots: 0, running: 100, expectedTokens: 25_600 });
    expect(estimate(full, ask()).waitMs).toBe(512_000);
    const could = (remainingMs: number) => decide([full], ask({ remainingMs }), knowledge()).considered.some(couldServe);
    expect(could(6000)).toBe(true);
    expect(could(5000)).toBe(false);
  });

  it('waits for nothing while a slot is free', () => {
    expect(estimate(candidate('n', {}, { queuedPromptTokens: 500, expectedTokens: 400 }), ask()).waitMs).toBe(0);
  });

  it('is finite for a node that has measured nothing', () => {
    const { totalMs } = estimate(candidate('n', { prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 }), ask());
    expect(Number.isFinite(totalMs) && totalMs > 0).toBe(true);
  });

  it('grows with company, prompt and answer', () => {
    const n = fc.integer({ min: 0, max: 10_000 });
    fc.assert(
      fc.property(n, n, n, (running, promptTokens, expectedOutputTokens) => {
        const base = estimate(candidate('n', {}, { running }), ask({ promptTokens, expectedOutputTokens })).totalMs;
        const more = ask({ promptTokens: promptTokens + 1, expectedOutputTokens: expectedOutputTokens + 1 });
        expect(estimate(candidate('n', {}, { running: running + 1 }), more).totalMs).toBeGreaterThan(base);
      }),
    );
  });
});

describe('the grid', () => {
  it('is never above, at most an eighth below, and keeps the order', () => {
    const time = fc.double({ min: 1e-6, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(time, time, (a, b) => {
        expect(onGrid(a)).toBeLessThanOrEqual(a);
        expect(onGrid(a) * 1.125).toBeGreaterThanOrEqual(a);
        expect(onGrid(onGrid(a))).toBe(onGrid(a));
        expect(Math.sign(onGrid(a) - onGrid(b)) * Math.sign(a - b)).toBeGreaterThanOrEqual(0);
      }),
    );
    expect(onGrid(0)).toBe(0);
  });

  it('takes nodes for equal that an estimate cannot tell apart', () => {
    expect(onGrid(1030)).toBe(onGrid(1080));
    expect(onGrid(1030)).not.toBe(onGrid(1200));
  });
});

describe('the load cap', () => {
  it('is a quarter above the mean and one request more', () => {
    const extent = { promptTokens: 100, expectedOutputTokens: 50 };
    expect(overloaded(1400, 1000, extent)).toBe(false);
    expect(overloaded(1401, 1000, extent)).toBe(true);
    expect(overloaded(0, 0, extent)).toBe(false);
  });
});
