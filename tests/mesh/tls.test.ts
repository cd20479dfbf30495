import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMember, startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const canned = { engine: 'replay', model: 'canned', replay: 'length=5' } as const;
const answer = replayText([{ role: Role.ROLE_USER, text: 'hello' }], 5);
const UNAVAILABLE = { code: Code.UNAVAILABLE, reason: 'UNREACHABLE' };

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** A self-signed certificate for loopback. */
function certificate(folder: string, name: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const subject = ['-subj', '/CN=infermesh test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  return { cert, key };
}

describe.skipIf(!hasOpenssl)('a router with TLS (needs openssl to make a certificate)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-tls-'));
  let mesh: TestMesh;
  let cert: string;

  beforeAll(async () => {
    const own = certificate(folder, 'server');
    cert = own.cert;
    mesh = await startMesh({
      routerFlags: ['--tls-cert', cert, '--tls-key', own.key],
      connect: { tls: readFileSync(cert) },
      nodes: [{ ...canned, flags: ['--tls-ca', cert] }],
    });
  });
  afterEach(async () => {
    await expectAtRest(mesh);
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
  });
  afterAll(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it('serves clients and nodes that trust its certificate', async () => {
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
    expect((await mesh.client.nodes()).map(({ id }) => id)).toEqual(['node-1']);
  });

  it.each([
    ['speaks plaintext', () => ({})],
    ['trusts another authority', () => ({ tls: readFileSync(certificate(folder, 'other').cert) })],
  ])('is UNAVAILABLE at once for a client that %s', async (_how, options) => {
    using stranger = connect(mesh.address, options());
    const startedAt = performance.now();
    await expect(stranger.ask({ messages: 'hello' })).rejects.toMatchObject(UNAVAILABLE);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  it('has no node that speaks plaintext, which goes on trying and says so', async () => {
    const flags = ['--join', mesh.address, '--token-file', mesh.tokenFile, '--id', 'plain', '--engine', 'replay'];
    const node = startMember(['node', ...flags, '--model', 'canned']);
    await expect.poll(() => node.output(), { timeout: 10_000 }).toContain('router_lost');
    expect((await mesh.client.nodes()).map(({ id }) => id)).not.toContain('plain');
    await node.stop();
  });
});

describe.skipIf(!hasOpenssl)('a router without TLS (needs openssl to make a certificate)', () => {
  it('is UNAVAILABLE at once for a client that speaks TLS, and goes on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'infermesh-tls-'));
    await using mesh = await startMesh({ nodes: [canned] });
    using stranger = connect(mesh.address, { tls: readFileSync(certificate(folder, 'any').cert) });
    const startedAt = performance.now();
    await expect(stranger.ask({ messages: 'hello' })).rejects.toMatchObject(UNAVAILABLE);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
    await expectAtRest(mesh);
    rmSync(folder, { recursive: true, force: true });
  });
});

describe('an address that is not loopback', () => {
  it.each([
    ['router', ['router', '--listen', '0.0.0.0:0'], '--listen 0.0.0.0:0 is not loopback'],
    ['node', ['node', '--join', 'router.example:50051'], '--join router.example:50051 is not loopback'],
  ])('needs TLS or an explicit flag: %s', async (_who, args, says) => {
    const member = startMember(args);
    const code = await new Promise((resolve) => member.process.once('close', resolve));
    expect(code).toBe(2);
    expect(member.output()).toContain(says);
  });
});
