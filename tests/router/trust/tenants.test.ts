import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../../proto/contract/faults.ts';
import { bearer, digestOfSecret } from '../../../proto/transport/join-token.ts';
import { namesIn } from '../../../proto/transport/pem.ts';
import { Callers } from '../../../router/trust/callers.ts';
import { parseTenants, readTenants } from '../../../router/trust/tenants.ts';
import { TenantsFile } from '../../../router/trust/tenants-file.ts';
import { FakeClock } from '../../support/clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'infermesh-tenants-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FILE = `
tenants:
  acme:
    keys: [${digestOfSecret('the-key-of-acme-1')}, ${digestOfSecret('the-key-of-acme-2')}]
    quotas: { requestsPerMinute: 60, tokensPerMinute: 10000, streams: 4 }
  bolt:
    certificates: ["infermesh://client/bolt", bolt.example]
  ops:
    role: admin
    keys: [${digestOfSecret('the-key-of-ops')}]
`;

const shown = (key?: string, names: readonly string[] = []) => ({
  metadata: (name: string) => (name === 'authorization' && key !== undefined ? bearer(key) : undefined),
  certificateNames: () => names,
});

function violations(text: string): Fault['violations'] {
  try {
    parseTenants(text);
  } catch (thrown) {
    return (thrown as Fault).violations;
  }
  return [];
}

describe('the tenants file', () => {
  it('says who has which key or certificate, and what each may use', () => {
    const tenants = parseTenants(FILE);
    expect(tenants.size).toBe(3);
    expect(tenants.ofKey('the-key-of-acme-2')).toMatchObject({ id: 'acme', admin: false, quota: { streams: 4 } });
    expect(tenants.ofKey('the-key-of-ops')).toMatchObject({ id: 'ops', admin: true, quota: {} });
    expect(tenants.ofKey(digestOfSecret('the-key-of-ops'))).toBeUndefined();
    expect(tenants.ofCertificate(['other.example', 'bolt.example'])).toMatchObject({ id: 'bolt' });
    expect(tenants.ofCertificate([])).toBeUndefined();
    expect(tenants.quotaOf('acme')?.requestsPerMinute).toBe(60);
  });

  it.each([
    ['a key in the clear', 'tenants: {a: {keys: [a-secret-in-the-clear]}}', 'tenants.a.keys[0]', 'must be sha256:'],
    ['a quota of 0', 'tenants: {a: {quotas: {streams: 0}}}', 'tenants.a.quotas.streams', 'must be a whole number from 1'],
    ['half a request', 'tenants: {a: {quotas: {requestsPerMinute: 1.5}}}', 'tenants.a.quotas.requestsPerMinute', 'whole number'],
    ['another role', 'tenants: {a: {role: root}}', 'tenants.a.role', 'must be client or admin'],
    ['a setting that there is not', 'tenants: {a: {kees: []}}', 'tenants.a', 'it may have role, keys'],
    ['no tenants', '{}', 'tenants', 'must hold'],
    ['a name with a space', 'tenants: {"a b": {}}', 'tenants.a b', 'must be named by'],
  ])('is refused with %s, and what stood there is not told', (_what, text, field, description) => {
    const found = violations(text);
    expect(found[0]).toMatchObject({ field, description: expect.stringContaining(description) });
    expect(JSON.stringify(found)).not.toContain('a-secret-in-the-clear');
  });

  it('is refused when one key or certificate is of two tenants', () => {
    const key = digestOfSecret('x'.repeat(16));
    expect(violations(`tenants: {a: {keys: ["${key}"]}, b: {keys: ["${key}"]}}`)).toEqual([
      { field: 'tenants.b.keys[0]', description: 'must be of one tenant only, and is of a as well' },
    ]);
  });

  it('that is no YAML is refused without a line of it', () => {
    expect(() => parseTenants('tenants: [a-secret-in-the-clear')).toThrow(/^the tenants file is not YAML: \w+ at character \d+$/);
    expect(() => readTenants(join(folder, 'absent'))).toThrow(/cannot read the tenants file .*: ENOENT/);
  });
});

describe('who calls', () => {
  const TOKEN = 'the-token-of-the-router';
  const callers = new Callers({ tenants: () => parseTenants(FILE), token: TOKEN, guarded: true });
  const anybody = new Callers({ tenants: () => undefined, token: TOKEN, guarded: false });
  const certified = new Callers({ tenants: () => undefined, token: TOKEN, guarded: true });

  it('is told by the key, or else by the certificate', () => {
    expect(callers.tenantOf(shown('the-key-of-acme-1'))).toBe('acme');
    expect(callers.tenantOf(shown(undefined, ['infermesh://client/bolt']))).toBe('bolt');
    expect(callers.tenantOf(shown('the-key-of-acme-1', ['infermesh://client/bolt']))).toBe('acme');
  });

  it.each([
    ['shows nothing', shown(), 'UNAUTHENTICATED'],
    ['has a key that is not known', shown('a-key-of-nobody'), 'UNAUTHENTICATED'],
    ['has a certificate that is not known', shown(undefined, ['infermesh://client/other']), 'UNAUTHENTICATED'],
    ['has a wrong key beside a good certificate', shown('a-key-of-nobody', ['bolt.example']), 'UNAUTHENTICATED'],
    ['sends the hash of a key', shown(digestOfSecret('the-key-of-acme-1')), 'UNAUTHENTICATED'],
    ['has the token of the router, which is no tenant', shown(TOKEN), 'FORBIDDEN'],
  ])('is refused who %s', (_what, context, reason) => {
    expect(() => callers.tenantOf(context)).toThrow(expect.objectContaining({ reason }));
  });

  it('is the tenant without a name where there is no file, whatever it shows', () => {
    for (const context of [shown(), shown('a-key-of-nobody'), shown(TOKEN)]) expect(anybody.tenantOf(context)).toBeUndefined();
  });

  it('may administer with the key of an admin or the token of the router, and not without', () => {
    for (const who of [callers, certified]) expect(() => who.checkReader(shown(TOKEN))).not.toThrow();
    expect(() => callers.checkAdmin(shown('the-key-of-ops'))).not.toThrow();
    expect(() => callers.checkReader(shown('the-key-of-acme-1'))).toThrow(expect.objectContaining({ reason: 'FORBIDDEN' }));
    expect(() => callers.checkReader(shown())).toThrow(expect.objectContaining({ reason: 'UNAUTHENTICATED' }));
    expect(() => certified.checkReader(shown(undefined, ['a.example']))).toThrow(
      expect.objectContaining({ reason: 'FORBIDDEN' }),
    );
  });

  it('may read where nobody is asked who he is, and let nobody in', () => {
    expect(() => anybody.checkReader(shown())).not.toThrow();
    expect(() => anybody.checkAdmin(shown())).toThrow(expect.objectContaining({ reason: 'FORBIDDEN' }));
    expect(() => anybody.checkAdmin(shown(TOKEN))).not.toThrow();
  });
});

describe('the names in a certificate', () => {
  it('are those of DNS and URI', () => {
    const text = 'DNS:Gpu-1.Example, IP Address:127.0.0.1, URI:infermesh://node/gpu-1, email:a@b';
    expect(namesIn(text)).toEqual(['gpu-1.example', 'infermesh://node/gpu-1']);
    expect(namesIn(undefined)).toEqual([]);
  });

  it('are none where one could be taken for several', () => {
    expect(namesIn('DNS:"evil, URI:infermesh://node/gpu-1", DNS:fine')).toEqual([]);
  });
});

describe('a tenants file that changes', () => {
  it('is read again within a second; a bad one changes nothing and is told of', () => {
    const path = join(folder, 'tenants.yaml');
    const clock = new FakeClock();
    writeFileSync(path, FILE);
    const told: string[] = [];
    using file = new TenantsFile({
      path,
      clock,
      onRead: (tenants) => told.push(`read ${tenants}`),
      onKept: (problem) => told.push(problem),
    });
    expect(file.current.size).toBe(3);
    writeFileSync(`${path}.new`, 'tenants: {a: {keys: [a-secret-in-the-clear]}}');
    renameSync(`${path}.new`, path);
    clock.advance(1000);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^tenants\.a\.keys\[0\] must be sha256:/);
    expect(told[0]).not.toContain('secret-in');
    expect(file.current.size).toBe(3);
    writeFileSync(path, 'tenants: {a: {}}');
    clock.advance(5000);
    expect(told.slice(1)).toEqual(['read 1']);
    expect(file.current.size).toBe(1);
    rmSync(path);
    clock.advance(5000);
    expect(told.slice(2)).toEqual([expect.stringContaining('ENOENT')]);
    expect(file.current.size).toBe(1);
  });
});
