import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { Fault } from '../../../proto/contract/faults.ts';
import { REWARD_WEIGHTS } from '../../../router/ledger/reward.ts';
import { DEFAULT_POLICIES, parsePolicies, readPolicies } from '../../../router/policy-file.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';

const WHOLE = `
default:
  name: cheap-2026
  preference: { cost: 0.6, quality: 0.3, latency: 0.1, diversity: 0 }
  limits: { maxCostUsd: 0.01, maxLatencyMs: 60000 }
  deny: [old-model]
  exploration: 0.05
  switchMargin: 0.2
  reference: big-model
  usdPerKwh: 0.2
  cache: { sampled: true, ttlSeconds: 60 }
tenants:
  acme:
    preference: { quality: 1 }
    limits: { maxCostUsd: null, minQuality: 0.7 }
    zones: [eu-1, eu-2]
    exploration: 0
    reference: null
    cache: { semantic: true, similarity: 0.97 }
  plain:
rewards: { rating: 1, latency: 0.25 }
`;

function problemsOf(text: string) {
  try {
    parsePolicies(text);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(Fault);
    return (thrown as Fault).violations.map(({ field, description }) => `${field} ${description}`);
  }
  throw new Error('nothing was wrong');
}

describe('a policy file', () => {
  it('gives everybody the default policy, and fills in what it does not say', () => {
    const { default: policy, policyFor, rewards } = parsePolicies(WHOLE);
    expect(policy).toEqual({
      name: 'cheap-2026',
      preference: { cost: 0.6, quality: 0.3, latency: 0.1, diversity: 0 },
      limits: { maxCostUsd: 0.01, maxLatencyMs: 60_000 },
      models: [],
      deny: ['old-model'],
      zones: [],
      exploration: 0.05,
      switchMargin: 0.2,
      reference: 'big-model',
      usdPerKwh: 0.2,
      cache: { ...DEFAULT_POLICY.cache, sampled: true, ttlSeconds: 60 },
    });
    expect(policyFor(undefined)).toBe(policy);
    expect(policyFor('a stranger')).toBe(policy);
    expect(rewards).toEqual({ ...REWARD_WEIGHTS, rating: 1, latency: 0.25 });
  });

  it('lets a tenant inherit weights and limits one by one, lift a limit, and be named after itself', () => {
    const { policyFor } = parsePolicies(WHOLE);
    expect(policyFor('acme')).toEqual({
      ...policyFor(undefined),
      name: 'acme',
      preference: { cost: 0.6, quality: 1, latency: 0.1, diversity: 0 },
      limits: { maxLatencyMs: 60_000, minQuality: 0.7 },
      zones: ['eu-1', 'eu-2'],
      exploration: 0,
      reference: undefined,
      cache: { ...DEFAULT_POLICY.cache, sampled: true, ttlSeconds: 60, semantic: true, similarity: 0.97 },
    });
    expect(policyFor('plain')).toEqual({ ...policyFor(undefined), name: 'plain' });
  });

  it('may be empty, which is the default for everybody', () => {
    for (const text of ['', 'default:', 'tenants: {}', '{}']) {
      expect(parsePolicies(text).policyFor('anybody')).toEqual(DEFAULT_POLICY);
    }
    expect(DEFAULT_POLICIES.policyFor('anybody')).toBe(DEFAULT_POLICY);
  });

  it('tells everything that is wrong together, with field, bound and value', () => {
    const text = `
default: { preference: { cost: 7 }, exploration: often, models: [gpt 5], speed: 3 }
tenants: { acme: { limits: { maxLatencyMs: 0.5 }, zones: eu-1 }, odd: 12 }
rewards: { rating: -1 }
extra: 1
`;
    expect(problemsOf(text)).toEqual([
      'default.preference.cost must be a number from 0 to 1, received 7',
      'default.models[0] must be a name of up to 128 letters, digits and ._:-, received "gpt 5"',
      'default.exploration must be a number from 0 to 1, received "often"',
      'default.speed is not a setting; remove it from the file',
      'tenants.acme.limits.maxLatencyMs must be a whole number from 1 to 3,600,000, received 0.5',
      'tenants.acme.zones must be a list of zone names, received "eu-1"',
      'tenants.odd must hold settings as name: value, received 12',
      'rewards.rating must be a number from 0 to 1, received -1',
      'extra is not a setting; remove it from the file',
    ]);
  });

  it.each([
    ['just a text', /the file must hold settings as name: value, received "just a text"/],
    ['default: { preference: { cost: 0, quality: 0, latency: 0, diversity: 0 } }', /default\.preference must have at least one/],
    ['tenants: { a: { preference: { cost: 0, quality: 0, latency: 0, diversity: 0 } } }', /tenants\.a\.preference must have at/],
    ['tenants: { "with space": {} }', /tenants\.with space must be named by 1 to 128 printable/],
    ['rewards: { applause: 1 }', /rewards\.applause is not a setting; remove it/],
    ['default: { exploration: .nan }', /default\.exploration must be a number from 0 to 1/],
  ])('refuses %j', (text, message) => {
    expect(problemsOf(text).join()).toMatch(message);
  });

  it('refuses what is no YAML, or names a tenant twice', () => {
    expect(() => parsePolicies('a: [')).toThrow(/not YAML/);
    expect(() => parsePolicies('tenants: { a: {}, a: {} }')).toThrow(/not YAML: .*unique/);
  });

  it('is as the documentation shows it', () => {
    const page = readFileSync(new URL('../../../docs/choosing.md', import.meta.url), 'utf8');
    const [example] = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
    const { tenants, policyFor } = parsePolicies(example ?? '');
    expect(tenants.size).toBeGreaterThan(0);
    expect(policyFor(undefined).preference).toEqual(DEFAULT_POLICY.preference);
  });

  it('is read from its path; a path without a file is named with the cause', () => {
    const folder = mkdtempSync(join(tmpdir(), 'infermesh-policy-'));
    const path = join(folder, 'policy.yaml');
    writeFileSync(path, WHOLE);
    expect(readPolicies(path).default.name).toBe('cheap-2026');
    rmSync(folder, { recursive: true });
    expect(() => readPolicies(path)).toThrow(`cannot read the policy file ${path}: ENOENT`);
  });

  it('gives back every policy that was written to it', () => {
    const unit = fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0);
    const weights = fc.record({
      cost: unit,
      quality: unit,
      latency: unit,
      diversity: fc.double({ min: 0.1, max: 1, noNaN: true }),
    });
    const limits = fc.record(
      { maxCostUsd: unit, maxLatencyMs: fc.integer({ min: 1, max: 3_600_000 }), minQuality: unit },
      { requiredKeys: [] },
    );
    const names = fc.array(fc.stringMatching(/^[a-z][a-z0-9.-]{0,20}$/), { maxLength: 4 });
    const fields = {
      preference: weights,
      limits,
      models: names,
      deny: names,
      zones: names,
      exploration: unit,
      switchMargin: unit,
    };
    const policies = fc.record(fields).map((one) => ({ ...DEFAULT_POLICY, ...one }));
    fc.assert(
      fc.property(policies, (policy) => {
        const { reference: _, ...written } = policy;
        expect(parsePolicies(stringify({ default: written })).default).toEqual(policy);
      }),
    );
  });
});
