import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Bearer } from '../../cli/certs/authority.ts';
import { Authority } from '../../cli/certs/authority.ts';
import { connect } from '../../client/index.ts';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMember, startMesh, TOKEN } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const canned = { engine: 'replay', model: 'canned', replay: 'length=5' } as const;
const answer = replayText([{ role: Role.ROLE_USER, text: 'hello' }], 5);
const UNAVAILABLE = { code: Code.UNAVAILABLE, reason: 'UNREACHABLE' };

const LOOPBACK: Bearer = { type: 'router', hosts: ['127.0.0.1', 'localhost'] };

/** Files of a certificate, as settings name them. */
interface Files {
  readonly cert: string;
  readonly key: string;
}

/** An authority with its certificates in a folder that goes with the test. */
class Certificates implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'infermesh-tls-'));
  readonly #authority: Authority;
  readonly ca: string;

  private constructor(authority: Authority, cert: string) {
    this.#authority = authority;
    this.ca = this.file('ca.pem', cert);
  }

  /** @param now when it is made; an authority and all that it signs are good for 2 days */
  static async make(now = Date.now()): Promise<Certificates> {
    const authority = await Authority.create(2, now);
    return new Certificates(authority, (await authority.own()).cert);
  }

  file(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  async issue(name: string, bearer: Bearer): Promise<Files> {
    const { cert, key } = await this.#authority.issue(bearer);
    return { cert: this.file(`${name}.pem`, cert), key: this.file(`${name}.key`, key) };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let certificates: Certificates;
let strangers: Certificates;
/** The router's own authority too, long ago. */
let bygone: Certificates;
let server: Files;

beforeAll(async () => {
  certificates = await Certificates.make();
  strangers = await Certificates.make();
  bygone = await Certificates.make(Date.now() - 10 * 86_400_000);
  server = await certificates.issue('router', LOOPBACK);
});
afterAll(() => {
  certificates[Symbol.dispose]();
  strangers[Symbol.dispose]();
  bygone[Symbol.dispose]();
});

const identity = ({ cert, key }: Files) => ({ cert: readFileSync(cert), key: readFileSync(key) });

describe('a router with TLS', () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await startMesh({
      routerFlags: ['--tls-cert', server.cert, '--tls-key', server.key],
      connect: { tls: readFileSync(certificates.ca) },
      nodes: [{ ...canned, flags: ['--tls-ca', certificates.ca] }],
    });
  });
  afterEach(async () => {
    await expectAtRest(mesh);
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
  });
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  it('serves clients and nodes that trust its certificate', async () => {
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
    expect((await mesh.client.nodes()).map(({ id }) => id)).toEqual(['node-1']);
  });

  it.each([
    ['speaks plaintext', () => ({})],
    ['trusts another authority', () => ({ tls: readFileSync(strangers.ca) })],
  ])('is UNAVAILABLE at once for a client that %s', async (_how, options) => {
    using stranger = connect(mesh.address, options());
    await expect(stranger.ask({ messages: 'hello' })).rejects.toMatchObject(UNAVAILABLE);
  });

  it('has no node that speaks plaintext, which goes on trying and says so', async () => {
    const flags = ['--join', mesh.address, '--token-file', mesh.tokenFile, '--id', 'plain', '--engine', 'replay'];
    const node = startMember(['node', ...flags, '--model', 'canned']);
    await expect.poll(() => node.output()).toContain('router_lost');
    expect((await mesh.client.nodes()).map(({ id }) => id)).not.toContain('plain');
    await node.stop();
  });
});

describe.each(['required', 'optional'] as const)('a router that asks for certificates, which are %s', (auth) => {
  let mesh: TestMesh;
  let client: Files;
  let node: Files;
  let admin: { readonly apiKey: string };
  const nodeFlags = (id: string, files: Files | undefined) => [
    ...[
      'node',
      '--join',
      mesh.address,
      '--token-file',
      '/nonexistent/token',
      '--id',
      id,
      '--engine',
      'replay',
      '--model',
      'canned',
    ],
    ...['--tls-ca', certificates.ca, ...(files ? ['--tls-cert', files.cert, '--tls-key', files.key] : [])],
  ];

  beforeAll(async () => {
    client = await certificates.issue('client', { type: 'client', name: 'acme' });
    node = await certificates.issue('node', { type: 'node', id: 'gpu-1' });
    admin = { apiKey: TOKEN };
    const authorities = certificates.file('authorities.pem', `${readFileSync(certificates.ca)}${readFileSync(bygone.ca)}`);
    mesh = await startMesh({
      routerFlags: [
        ...['--tls-cert', server.cert, '--tls-key', server.key],
        ...['--tls-client-ca', authorities, '--tls-client-auth', auth],
      ],
      connect: { tls: readFileSync(certificates.ca), identity: identity(client), ...admin },
      nodes: [{ ...canned, id: 'gpu-1', flags: ['--tls-ca', certificates.ca, '--tls-cert', node.cert, '--tls-key', node.key] }],
    });
  });
  afterEach(async () => {
    await expectAtRest(mesh);
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
  });
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  it('serves a client that has one', async () => {
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
  });

  it('has a node by its certificate alone, under the id that is its name', async () => {
    const files = await certificates.issue('node-gpu-2', { type: 'node', id: 'gpu-2' });
    const member = startMember(nodeFlags('gpu-2', files));
    await mesh.until((nodes) => nodes.some(({ id, models }) => id === 'gpu-2' && models.length > 0));
    await member.stop();
  });

  it.each([
    ['whose certificate is of another id', async () => node, 'FORBIDDEN'],
    ['that has the certificate of a client', async () => client, 'UNAUTHENTICATED'],
  ])('refuses a node %s, which says so', async (_who, files, reason) => {
    const member = startMember(nodeFlags('gpu-3', await files()));
    await expect.poll(() => member.output()).toContain('router_refused');
    expect(member.output()).toContain(reason);
    await expect.poll(() => mesh.router.output()).toContain('join_refused');
    expect((await mesh.client.nodes()).map(({ id }) => id)).not.toContain('gpu-3');
    await member.stop();
  });

  it('gives nobody a look at the mesh who is no admin', async () => {
    using other = connect(mesh.address, { tls: readFileSync(certificates.ca), identity: identity(client) });
    await expect(other.nodes()).rejects.toMatchObject({ code: Code.PERMISSION_DENIED, reason: 'FORBIDDEN' });
    await expect(other.stats()).rejects.toMatchObject({ reason: 'FORBIDDEN' });
    const watch = other.watchNodes();
    await expect(watch.next()).rejects.toMatchObject({ reason: 'FORBIDDEN' });
    expect((await other.ask({ messages: 'hello' })).text).toBe(answer);
  });

  it(auth === 'required' ? 'has no connection for a client without one' : 'serves a client without one', async () => {
    using bare = connect(mesh.address, { tls: readFileSync(certificates.ca) });
    const asked = bare.ask({ messages: 'hello' });
    if (auth === 'required') await expect(asked).rejects.toMatchObject(UNAVAILABLE);
    else expect((await asked).text).toBe(answer);
  });

  it.each([
    ['of a strange authority', () => strangers],
    ['that has expired', () => bygone],
  ])('does not believe a certificate %s', async (_what, authority) => {
    const forged = await authority().issue('forged', { type: 'node', id: 'gpu-1' });
    const member = startMember(nodeFlags('gpu-1', forged));
    const refused = auth === 'required' ? 'router_lost' : 'router_refused';
    await expect.poll(() => member.output()).toContain(refused);
    expect(mesh.router.output()).not.toContain('node_fenced');
    await member.stop();
  });
});

describe('a router without TLS', () => {
  it('is UNAVAILABLE at once for a client that speaks TLS, and goes on', async () => {
    await using mesh = await startMesh({ nodes: [canned] });
    using stranger = connect(mesh.address, { tls: readFileSync(certificates.ca) });
    await expect(stranger.ask({ messages: 'hello' })).rejects.toMatchObject(UNAVAILABLE);
    expect((await mesh.client.ask({ messages: 'hello' })).text).toBe(answer);
    await expectAtRest(mesh);
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

describe('a key', () => {
  it('is not sent in the clear to an address that is not loopback, unless that is asked for', () => {
    const apiKey = 'a-key-of-more-than-16';
    expect(() => connect('router.example:50051', { apiKey })).toThrow(/is not sent to router.example:50051 without TLS/);
    for (const options of [{ tls: true }, { allowPlaintext: true }] as const) {
      connect('router.example:50051', { apiKey, ...options }).close();
    }
    connect('127.0.0.1:50051', { apiKey }).close();
  });
});
