import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, normalised, policyFor } from '../../../router/select/policy.ts';

const none = { preference: undefined, limits: undefined, zones: [] };

describe("a request's policy", () => {
  it("weighs as the caller wishes, else as the router's does", () => {
    expect(policyFor(DEFAULT_POLICY, none)?.preference).toEqual(DEFAULT_POLICY.preference);
    const preference = { cost: 1, quality: 1, latency: 0, diversity: 0 };
    expect(policyFor(DEFAULT_POLICY, { ...none, preference })?.preference).toEqual({ ...preference, cost: 0.5, quality: 0.5 });
  });

  it('has the stricter of two limits', () => {
    const policy = { ...DEFAULT_POLICY, limits: { maxCostUsd: 0.1, minQuality: 0.5 } };
    const limits = { maxCostUsd: 0.2, minQuality: 0.6, maxLatencyMs: 900 };
    expect(policyFor(policy, { ...none, limits })?.limits).toEqual({ maxCostUsd: 0.1, minQuality: 0.6, maxLatencyMs: 900 });
  });

  it('permits the zones that both permit, and is refused when there are none', () => {
    const policy = { ...DEFAULT_POLICY, zones: ['a', 'b'] };
    expect(policyFor(policy, { ...none, zones: ['b', 'c'] })?.zones).toEqual(['b']);
    expect(policyFor(policy, none)?.zones).toEqual(['a', 'b']);
    expect(policyFor(DEFAULT_POLICY, { ...none, zones: ['c'] })?.zones).toEqual(['c']);
    expect(policyFor(policy, { ...none, zones: ['c'] })).toBeUndefined();
  });

  it('has weights that sum to 1, in the proportions given', () => {
    const weight = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(weight, weight, weight, fc.double({ min: 0.01, max: 1, noNaN: true }), (cost, quality, latency, diversity) => {
        const scaled = normalised({ cost, quality, latency, diversity });
        expect(Object.values(scaled).reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 9);
        expect(scaled.cost * diversity).toBeCloseTo(cost * scaled.diversity, 9);
      }),
    );
  });
});
