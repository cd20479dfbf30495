/**
 * The file that says what a router weighs, permits and forbids (YAML): a policy for everybody, tenants that differ from
 * it, and what a reward is made of. Everything wrong with it is told together, each with its field, bound and value.
 */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { MODEL_NAME } from '../proto/contract/bounds.ts';
import type { Violation } from '../proto/contract/faults.ts';
import { Fault, invalid } from '../proto/contract/faults.ts';
import type { RewardPart, RewardWeights } from './ledger/reward.ts';
import { REWARD_WEIGHTS } from './ledger/reward.ts';
import type { Limits, Policy, Preference } from './select/policy.ts';
import { DEFAULT_POLICY } from './select/policy.ts';
import { readSettingsFile } from './settings-file.ts';

export interface Policies {
  /** Of whoever has none of their own. */
  readonly default: Policy;
  /** By tenant. */
  readonly tenants: ReadonlyMap<string, Policy>;
  /** Of the figures and signals that make a reward; for all tenants, as all learn from all. */
  readonly rewards: RewardWeights;
  policyFor(tenant: string | undefined): Policy;
}

const MAX_TENANTS = 10_000;

const from = (low: number, high: number, whole = false) => {
  const error = `must be a ${whole ? 'whole ' : ''}number from ${low.toLocaleString('en')} to ${high.toLocaleString('en')}`;
  return z.number({ error }).refine((value) => value >= low && value <= high && (!whole || Number.isInteger(value)), error);
};
const wholeFrom = (low: number, high: number) => from(low, high, true);
const listOf = (item: z.ZodString, what: string) =>
  z.array(item, { error: `must be a list of ${what}` }).max(256, 'must be a list of at most 256');

const model = z
  .string({ error: "must be a model's name" })
  .regex(MODEL_NAME, 'must be a name of up to 128 letters, digits and ._:-');
const zone = z.string({ error: "must be a zone's name" }).refine((name) => {
  const bytes = Buffer.byteLength(name);
  return bytes >= 1 && bytes <= 128;
}, 'must be of 1 to 128 bytes');
const name = z.string({ error: 'must be a name' }).regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters');
const weight = from(0, 1).optional();

const preference = z.strictObject({ cost: weight, quality: weight, latency: weight, diversity: weight });
/** A limit of null lifts the one that would be inherited. */
const limits = z.strictObject({
  maxCostUsd: from(0, 1_000_000).nullish(),
  maxLatencyMs: wholeFrom(1, 3_600_000).nullish(),
  maxFirstTokenMs: wholeFrom(1, 3_600_000).nullish(),
  minQuality: from(0, 1).nullish(),
});
const flag = z.boolean({ error: 'must be true or false' });
const cache = z.strictObject({
  sampled: flag.optional(),
  ttlSeconds: wholeFrom(1, 86_400).optional(),
  semantic: flag.optional(),
  similarity: from(0.5, 1).optional(),
  checkShare: from(0, 1).optional(),
  falseHits: from(0.001, 0.5).optional(),
});
const policy = z.strictObject({
  name: name.optional(),
  preference: preference.optional(),
  limits: limits.optional(),
  models: listOf(model, 'model names').optional(),
  deny: listOf(model, 'model names').optional(),
  zones: listOf(zone, 'zone names').optional(),
  exploration: from(0, 1).optional(),
  switchMargin: from(0, 1).optional(),
  reference: model.nullish(),
  usdPerKwh: from(0, 1000).optional(),
  cache: cache.optional(),
});
const rewardFields = Object.fromEntries(Object.keys(REWARD_WEIGHTS).map((part) => [part, weight])) as Record<
  RewardPart,
  typeof weight
>;
const file = z.strictObject({
  default: policy.nullish(),
  tenants: z
    .record(name, policy.nullable())
    .refine((tenants) => Object.keys(tenants).length <= MAX_TENANTS, `must be at most ${MAX_TENANTS.toLocaleString('en')}`)
    .nullish(),
  rewards: z.strictObject(rewardFields).nullish(),
});

type PolicyFields = z.infer<typeof policy>;

/** @throws Fault INVALID_REQUEST that names the file when it can't be read, or every field that is wrong */
export function readPolicies(path: string): Policies {
  return parsePolicies(readSettingsFile(path, 'the policy file'));
}

/** Pure. @throws Fault INVALID_REQUEST with every violation */
export function parsePolicies(text: string): Policies {
  const document = parseDocument(text, { prettyErrors: false });
  const [problem] = document.errors;
  if (problem) throw new Fault('INVALID_REQUEST', `the policy file is not YAML: ${problem.message}`);
  const content: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  const parsed = file.safeParse(content);
  if (!parsed.success) throw invalid(parsed.error.issues.flatMap((issue) => violationsOf(issue, content)));
  const { default: common, tenants, rewards } = parsed.data;
  const everybody = merged(DEFAULT_POLICY, common ?? {}, 'default');
  const own = Object.entries(tenants ?? {}).map(([tenant, fields]) => [tenant, merged(everybody, fields ?? {}, tenant)] as const);
  const weightless = [['default', everybody] as const, ...own.map(([tenant, one]) => [`tenants.${tenant}`, one] as const)]
    .filter(([, { preference }]) => Object.values(preference).every((value) => value === 0))
    .map(([field]) => ({ field: `${field}.preference`, description: 'must have at least one weight over 0, received only 0' }));
  if (weightless.length > 0) throw invalid(weightless);
  return policiesOf(everybody, new Map(own), { ...REWARD_WEIGHTS, ...given(rewards ?? {}) });
}

function policiesOf(
  everybody: Policy,
  tenants: ReadonlyMap<string, Policy>,
  rewards: Readonly<Record<string, number>>,
): Policies {
  const policyFor = (tenant: string | undefined) => (tenant === undefined ? everybody : (tenants.get(tenant) ?? everybody));
  return Object.freeze({ default: everybody, tenants, rewards, policyFor });
}

/** What holds without a file. */
export const DEFAULT_POLICIES: Policies = policiesOf(DEFAULT_POLICY, new Map(), REWARD_WEIGHTS);

/** Weights and limits are inherited one by one, lists as a whole. */
function merged(base: Policy, fields: PolicyFields, fallbackName: string): Policy {
  const { preference = {}, limits = {}, cache: reuse = {}, reference = base.reference, ...rest } = fields;
  return Object.freeze({
    ...base,
    name: fallbackName,
    ...given(rest),
    preference: Object.freeze({ ...base.preference, ...given(preference) }) as Preference,
    limits: Object.freeze(present({ ...base.limits, ...given(limits) })) as Limits,
    cache: Object.freeze({ ...base.cache, ...given(reuse) }),
    reference: reference ?? undefined,
  });
}

/** Without the fields that are undefined. */
function given<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** Without the fields that are undefined or null. */
function present(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}

interface Issue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

function violationsOf(issue: Issue, content: unknown): Violation[] {
  const { code, path, message, keys = [] } = issue;
  if (code === 'unrecognized_keys') {
    return keys.map((key) => ({ field: fieldName([...path, key]), description: 'is not a setting; remove it from the file' }));
  }
  const named =
    code === 'invalid_key' ? 'must be named by 1 to 128 printable ASCII characters' : 'must hold settings as name: value';
  const what = message.startsWith('must') ? message : named;
  return [{ field: fieldName(path), description: `${what}, received ${shown(valueAt(content, path))}` }];
}

function fieldName(path: readonly PropertyKey[]): string {
  const name = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return name.replace(/^\./, '') || 'the file';
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const step of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[step];
  return value;
}

function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
