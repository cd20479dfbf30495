import { describe, expect, it } from 'vitest';
import type { CacheControl } from '../../../proto/gen/infermesh/v1/inference.ts';
import { CacheMode, ChatRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import type { Sampling } from '../../../proto/gen/infermesh/v1/types.ts';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import { mayKeep, permitOf } from '../../../router/reuse/permit.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';

const { cache: POLICY } = DEFAULT_POLICY;
const permit = (sampling?: Partial<Sampling>, cache?: Partial<CacheControl>, policy = POLICY) =>
  permitOf(ChatRequest.fromPartial({ ...(sampling ? { sampling } : {}), ...(cache ? { cache } : {}) }), policy);
const GREEDY = { temperature: 0 };

describe('what a request may do with the cache', () => {
  it.each([
    ['greedy', GREEDY, true],
    ['seeded', { temperature: 1, seed: 0 }, true],
    ['sampled', { temperature: 1 }, false],
    ['left to the model', undefined, false],
  ])('by default both read and write when it is %s: %j is %s', (_how, sampling, both) => {
    expect(permit(sampling)).toMatchObject({ reads: both, writes: both, onlyCached: false, semantic: false, paced: false });
  });

  it('is more for a sampled one where the policy or the caller says so; the caller has the last word', () => {
    const sampled = { ...POLICY, sampled: true };
    expect(permit(undefined, undefined, sampled)).toMatchObject({ reads: true, writes: true });
    expect(permit(undefined, { sampled: true })).toMatchObject({ reads: true, writes: true });
    expect(permit(undefined, { sampled: false }, sampled)).toMatchObject({ reads: false, writes: false });
  });

  it.each([
    ['BYPASS', CacheMode.CACHE_MODE_BYPASS, { reads: false, writes: false, onlyCached: false }],
    ['REFRESH', CacheMode.CACHE_MODE_REFRESH, { reads: false, writes: true, onlyCached: false }],
    ['ONLY_IF_CACHED', CacheMode.CACHE_MODE_ONLY_IF_CACHED, { reads: true, writes: false, onlyCached: true }],
  ])('follows the mode %s', (_name, mode, expected) => {
    expect(permit(GREEDY, { mode })).toMatchObject(expected);
  });

  it('lasts as long as the policy says, or the caller', () => {
    expect(permit(GREEDY).ttlMs).toBe(900_000);
    expect(permit(GREEDY, { ttlSeconds: 5 }).ttlMs).toBe(5000);
    expect(permit(GREEDY, undefined, { ...POLICY, ttlSeconds: 60 }).ttlMs).toBe(60_000);
  });

  it('reaches to other prompts only where it reads at all', () => {
    expect(permit(GREEDY, { semantic: true }).semantic).toBe(true);
    expect(permit(GREEDY, undefined, { ...POLICY, semantic: true }).semantic).toBe(true);
    expect(permit(GREEDY, { semantic: true, mode: CacheMode.CACHE_MODE_REFRESH }).semantic).toBe(false);
    expect(permit(undefined, { semantic: true }).semantic).toBe(false);
  });
});

describe('an answer may be kept', () => {
  const STOP = { reason: FinishReason.FINISH_REASON_STOP, isWhole: true, migrations: 0 };

  it('when it came to its own end', () => {
    expect(mayKeep(permit(GREEDY), STOP)).toBe(true);
    expect(mayKeep(permit(GREEDY), { ...STOP, reason: FinishReason.FINISH_REASON_STOP_STRING })).toBe(true);
    expect(mayKeep(permit(GREEDY), { ...STOP, reason: FinishReason.FINISH_REASON_LENGTH })).toBe(false);
    expect(mayKeep(permit(GREEDY), { ...STOP, isWhole: false })).toBe(false);
    expect(mayKeep(permit(), STOP)).toBe(false);
  });

  it('after a move to another node only when chance had no part in it', () => {
    expect(mayKeep(permit(GREEDY), { ...STOP, migrations: 1 })).toBe(true);
    expect(mayKeep(permit({ temperature: 1, seed: 1 }), { ...STOP, migrations: 1 })).toBe(false);
    expect(mayKeep(permit(undefined, { sampled: true }), { ...STOP, migrations: 1 })).toBe(false);
  });
});
