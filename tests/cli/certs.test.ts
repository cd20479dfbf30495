import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import { infermesh } from './run.ts';

let parent: string;
let folder: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'infermesh-certs-'));
  folder = join(parent, 'certs');
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const certificate = (name: string) => new X509Certificate(readFileSync(join(folder, `${name}.pem`)));
const names = () => readdirSync(folder).toSorted();

describe('infermesh certs', () => {
  it('makes an authority, and what it has signed for a router, nodes and clients', async () => {
    const flags = ['--host', 'router.example,10.0.0.1', '--node', 'gpu-1', '--client', 'acme', '--days', '7'];
    const { code, stdout } = await infermesh(['certs', folder, ...flags]);
    expect(code).toBe(0);
    expect(stdout).toContain('For development only.');
    const ca = certificate('ca');
    expect(ca.ca).toBe(true);
    for (const [name, alternatives] of [
      ['router', 'DNS:router.example, IP Address:10.0.0.1'],
      ['node-gpu-1', 'URI:infermesh://node/gpu-1'],
      ['client-acme', 'URI:infermesh://client/acme'],
    ] as const) {
      const one = certificate(name);
      expect(one.subjectAltName).toBe(alternatives);
      expect(one.ca).toBe(false);
      expect(one.checkIssued(ca) && one.verify(ca.publicKey)).toBe(true);
      const days = (one.validToDate.getTime() - Date.now()) / 86_400_000;
      expect(days).toBeGreaterThan(6.9);
      expect(days).toBeLessThanOrEqual(7);
    }
    expect(certificate('router').keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate('node-gpu-1').keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('keeps every key to its owner', async () => {
    await infermesh(['certs', folder, '--node', 'gpu-1']);
    const keys = names().filter((name) => name.endsWith('.key'));
    expect(keys).toEqual(['ca.key', 'node-gpu-1.key', 'router.key']);
    for (const key of keys) expect(statSync(join(folder, key)).mode & 0o777).toBe(0o600);
    chmodSync(join(folder, 'router.key'), 0o644);
    await infermesh(['certs', folder, '--node', 'gpu-1', '--force']);
    for (const key of keys) expect(statSync(join(folder, key)).mode & 0o777).toBe(0o600);
  });

  it('replaces nothing unless it is told to', async () => {
    await infermesh(['certs', folder, '--node', 'gpu-1']);
    const before = names().map((name) => readFileSync(join(folder, name), 'utf8'));
    for (const flags of [[], ['--node', 'gpu-1'], ['--node', 'gpu-2,gpu-1']]) {
      const { code, stderr } = await infermesh(['certs', folder, ...flags]);
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('is there already; give --force') });
    }
    expect(names().map((name) => readFileSync(join(folder, name), 'utf8'))).toEqual(before);
    const authority = certificate('ca').fingerprint256;
    expect((await infermesh(['certs', folder, '--force'])).code).toBe(0);
    expect(certificate('ca').fingerprint256).not.toBe(authority);
  });

  it('signs one more by the authority that is there', async () => {
    await infermesh(['certs', folder]);
    const router = certificate('router').fingerprint256;
    const { code, stdout } = await infermesh(['certs', folder, '--node', 'gpu-2', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).files).toEqual([join(folder, 'node-gpu-2.pem'), join(folder, 'node-gpu-2.key')]);
    expect(certificate('node-gpu-2').verify(certificate('ca').publicKey)).toBe(true);
    expect(certificate('router').fingerprint256).toBe(router);
  });

  it.each([
    [['--node', '../evil'], '--node must be 1 to 64 lower-case letters'],
    [['--client', 'Acme Ltd'], '--client must be 1 to 64 lower-case letters'],
    [['--host', 'a b'], '--host must be a host name or an IP address'],
    [['--days', '0'], '--days must be a whole number from 1 to 825'],
  ])('refuses %j and writes nothing', async (flags, message) => {
    const { code, stderr } = await infermesh(['certs', folder, ...flags]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(message) });
    expect(readdirSync(parent)).toEqual([]);
  });
});

describe('infermesh token create --tenant', () => {
  it('prints a new key on stdout, and its hash for the tenants file on stderr', async () => {
    const [one, other] = await Promise.all([1, 2].map(() => infermesh(['token', 'create', '--tenant', 'acme'])));
    const key = one?.stdout.trim() ?? '';
    expect(key).toMatch(/^imk_[\w-]{43}$/);
    expect(one?.stderr).toContain(`- ${digestOfSecret(key)}`);
    expect(one?.stderr).not.toContain(key);
    expect(other?.stdout).not.toBe(one?.stdout);
  });

  it('tells both as JSON', async () => {
    const { stdout } = await infermesh(['token', 'create', '--tenant', 'acme', '--json']);
    const { key, digest, tenant } = JSON.parse(stdout);
    expect({ digest, tenant }).toEqual({ digest: digestOfSecret(key), tenant: 'acme' });
  });
});
