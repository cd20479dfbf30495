/**
 * The file that says who may call, by which keys and certificates, and how much (YAML). Everything wrong with it is told
 * together, and never a key: somebody may have written one in the clear.
 */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Fault, invalid } from '../../proto/contract/faults.ts';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import { readSettingsFile } from '../settings-file.ts';
import type { Quota } from './quotas.ts';

export interface Tenant {
  readonly id: string;
  /** May call AdminService. */
  readonly admin: boolean;
  readonly quota: Quota;
}

export interface Tenants {
  readonly size: number;
  /** Undefined for a tenant that is no longer in the file. */
  quotaOf(id: string): Quota | undefined;
  /** By an API key as it came. */
  ofKey(key: string): Tenant | undefined;
  /** By the names of a certificate that was checked. */
  ofCertificate(names: readonly string[]): Tenant | undefined;
}

const MAX_TENANTS = 10_000;

const whole = (low: number, high: number) => {
  const error = `must be a whole number from ${low.toLocaleString('en')} to ${high.toLocaleString('en')}`;
  return z.number({ error }).int(error).min(low, error).max(high, error).optional();
};
const listOf = (item: RegExp, each: string) =>
  z
    .array(z.string({ error: each }).regex(item, each), { error: 'must be a list' })
    .max(64, 'must be a list of at most 64')
    .default([]);

const quotas = z.strictObject({
  requestsPerMinute: whole(1, 1_000_000),
  tokensPerMinute: whole(1, 1_000_000_000),
  streams: whole(1, 1_000_000),
});
const tenant = z.strictObject({
  role: z.enum(['client', 'admin'], { error: 'must be client or admin' }).default('client'),
  keys: listOf(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hex digits, as infermesh token create --tenant prints it'),
  certificates: listOf(/^[\x21-\x7e]{1,256}$/, 'must be a DNS or URI name of a certificate'),
  quotas: quotas.default({}),
});
const file = z.strictObject({
  tenants: z
    .record(z.string().regex(/^[\x21-\x7e]{1,128}$/), tenant, { error: 'must hold tenants as name: settings' })
    .refine((all) => Object.keys(all).length <= MAX_TENANTS, `must be at most ${MAX_TENANTS.toLocaleString('en')}`),
});

/** @throws Fault INVALID_REQUEST that names the file when it can't be read, or every field that is wrong */
export function readTenants(path: string): Tenants {
  return parseTenants(readSettingsFile(path, 'the tenants file'));
}

/** @throws Fault INVALID_REQUEST with every violation */
export function parseTenants(text: string): Tenants {
  const document = parseDocument(text, { prettyErrors: false });
  // The parser's own message may quote a line.
  const [problem] = document.errors;
  if (problem) throw new Fault('INVALID_REQUEST', `the tenants file is not YAML: ${problem.code} at character ${problem.pos[0]}`);
  const parsed = file.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {});
  if (!parsed.success) {
    throw invalid(
      parsed.error.issues.map((issue) => ({ field: fieldName(issue.path), description: describe(issue.code, issue.message) })),
    );
  }
  return indexed(Object.entries(parsed.data.tenants));
}

function indexed(entries: readonly (readonly [string, z.infer<typeof tenant>])[]): Tenants {
  const byId = new Map<string, Tenant>();
  const byKey = new Map<string, Tenant>();
  const byName = new Map<string, Tenant>();
  for (const [id, { role, keys, certificates, quotas: limits }] of entries) {
    const one: Tenant = Object.freeze({ id, admin: role === 'admin', quota: Object.freeze(limits) as Quota });
    byId.set(id, one);
    enlist(byKey, keys, one, 'keys');
    enlist(byName, certificates, one, 'certificates');
  }
  return {
    size: byId.size,
    quotaOf: (id) => byId.get(id)?.quota,
    // Looked up by its digest, so that how long it takes tells nothing of a key.
    ofKey: (key) => byKey.get(digestOfSecret(key)),
    ofCertificate: (names) => names.map((name) => byName.get(name)).find((found) => found !== undefined),
  };
}

function enlist(index: Map<string, Tenant>, names: readonly string[], one: Tenant, field: string): void {
  for (const [i, name] of names.entries()) {
    const other = index.get(name);
    if (other !== undefined && other !== one) {
      const description = `must be of one tenant only, and is of ${other.id} as well`;
      throw invalid([{ field: `tenants.${one.id}.${field}[${i}]`, description }]);
    }
    index.set(name, one);
  }
}

function fieldName(path: readonly PropertyKey[]): string {
  const name = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return name.replace(/^\./, '') || 'the file';
}

function describe(code: string, message: string): string {
  if (code === 'unrecognized_keys') return 'has settings that there are not: it may have role, keys, certificates and quotas';
  if (code === 'invalid_key') return 'must be named by 1 to 128 printable ASCII characters';
  if (message.startsWith('must')) return message;
  return 'must hold settings as name: value';
}
