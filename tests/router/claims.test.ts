import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModelStage, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelLoad, ModelState, PressureLevel, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { clampModel, clampProgress, clampReport, MAX_SLOTS } from '../../router/fleet/claims.ts';

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

  it('of its GPUs, its memory and the states of its models is in range, and what it does not tell stays untold', () => {
    fc.assert(
      fc.property(any, fc.option(any, { nil: undefined }), fc.integer(), (wild, maybe, level) => {
        const gpus = [{ use: maybe, memoryUsedBytes: wild, temperature: maybe, power: maybe }];
        const pressure = { level: level as PressureLevel, use: wild, limitBytes: wild, steps: ['unload'] };
        const loads = [ModelLoad.fromPartial({ model: 'm', state: level as ModelState, loadMs: wild })];
        const { value } = clampReport({ ...Report.fromPartial({}), loads, gpus, pressure }, [honest]);
        const [gpu] = value.gpus;
        for (const figure of [gpu?.use, gpu?.temperature, gpu?.power]) {
          expect(figure === undefined).toBe(maybe === undefined);
          expect(Number.isFinite(figure ?? 0)).toBe(true);
        }
        for (const share of [gpu?.use ?? 0, value.pressure?.use]) expect(share! >= 0 && share! <= 1).toBe(true);
        for (const figure of [gpu?.memoryUsedBytes, value.pressure?.limitBytes, value.loads[0]?.loadMs]) {
          expect(Number.isFinite(figure) && figure! >= 0).toBe(true);
        }
        expect(Object.values(PressureLevel)).toContain(value.pressure?.level);
        expect(Object.values(ModelState)).toContain(value.loads[0]?.state);
      }),
    );
  });

  it('of a model command is a stage and a share of it, and a message that fits a line', () => {
    const failure = { code: 8, reason: 'NO_ROOM', message: 'x'.repeat(5000), retryAfterMs: 0 };
    const wild = { command: 1, stage: 99 as ModelStage, fraction: Number.NaN, failure };
    const { stage, fraction, failure: told } = clampProgress(wild);
    expect({ stage, fraction }).toEqual({ stage: ModelStage.MODEL_STAGE_UNSPECIFIED, fraction: 0 });
    expect(told?.message).toHaveLength(1024);
  });
});
