import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { clampModel, clampReport, MAX_SLOTS } from '../../router/fleet/claims.ts';

const honest = ServedModel.fromPartial({
  name: 'm',
  slots: 4,
  contextLength: 4096,
  prefillTokensPerSecond: 900,
  decodeTokensPerSecond: 40,
  price: { inputUsdPerMillion: 1, outputUsdPerMillion: 2 },
});
const any = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, 0, 1e9));

describe('what a node claims', () => {
  it('is left as it is where it can be true', () => {
    expect(clampModel(honest)).toEqual({ value: honest, claims: [] });
  });

  it.each([
    [1e9, MAX_SLOTS],
    [0, 1],
    [-1, 1],
    [Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 1],
  ])('is clamped and named: %d slots are %d', (slots, used) => {
    const { value, claims } = clampModel({ ...honest, slots });
    expect(value.slots).toBe(used);
    expect(claims).toEqual([{ field: 'slots', received: slots, used }]);
  });

  it('is in range whatever it was, and every change is named', () => {
    fc.assert(
      fc.property(
        fc.record({ slots: any, contextLength: any, prefillTokensPerSecond: any, decodeTokensPerSecond: any, watts: any }),
        (wild) => {
          const { value, claims } = clampModel({ ...honest, ...wild });
          expect(value.slots).toBeGreaterThanOrEqual(1);
          expect(value.slots).toBeLessThanOrEqual(MAX_SLOTS);
          expect(value.contextLength).toBeGreaterThanOrEqual(1);
          for (const rate of [value.prefillTokensPerSecond, value.decodeTokensPerSecond, value.watts]) {
            expect(Number.isFinite(rate) && rate >= 0).toBe(true);
          }
          const changed = Object.entries(wild).filter(([key, was]) => value[key as keyof typeof wild] !== was);
          expect(claims).toHaveLength(changed.length);
        },
      ),
    );
  });

  it('of its load is held to the slots of the model, and of models it does not have is dropped', () => {
    fc.assert(
      fc.property(any, any, any, any, (freeSlots, running, kvCacheUse, cpuUse) => {
        const load = { model: 'm', freeSlots, running, queued: -3, queuedPromptTokens: Number.NaN, kvCacheUse };
        const rates = { prefillTokensPerSecond: 0, decodeTokensPerSecond: 0, state: ModelState.MODEL_STATE_SERVING, loadMs: 0 };
        const loads = [
          { ...load, ...rates },
          { ...load, ...rates, model: 'ghost' },
        ];
        const cachedPrefixes = ['m', 'ghost'].map((model) => ({ model, hashes: [1] }));
        const { value } = clampReport({ ...Report.fromPartial({}), loads, cachedPrefixes, cpuUse }, [honest]);
        expect(value.loads.map(({ model }) => model)).toEqual(['m']);
        expect(value.cachedPrefixes.map(({ model }) => model)).toEqual(['m']);
        expect(value.loads[0]).toMatchObject({ queued: 0, queuedPromptTokens: 0 });
        for (const count of [value.loads[0]?.freeSlots, value.loads[0]?.running]) {
          expect(count).toBeGreaterThanOrEqual(0);
          expect(count).toBeLessThanOrEqual(4);
        }
        for (const share of [value.loads[0]?.kvCacheUse, value.cpuUse]) expect(share! >= 0 && share! <= 1).toBe(true);
      }),
    );
  });
});
