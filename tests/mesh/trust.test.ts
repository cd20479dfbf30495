/** Who joins by which token, who may call, and how much, on real processes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectOptions, Mesh } from '../../client/index.ts';
import { connect } from '../../client/index.ts';
import { Code } from '../../proto/contract/faults.ts';
import { ChatRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import { infermesh } from '../cli/run.ts';
import type { Member, TestMesh } from '../support/mesh.ts';
import { startMember, startMesh, TOKEN } from '../support/mesh.ts';
import { FakeNode } from './fake-node.ts';
import { expectAtRest } from './rest.ts';
import { CHAT, RawConnection } from './wire.ts';

const canned = { engine: 'replay', model: 'canned', replay: 'length=5' } as const;
const UNAUTHENTICATED = { code: Code.UNAUTHENTICATED, reason: 'UNAUTHENTICATED' };
const FORBIDDEN = { code: Code.PERMISSION_DENIED, reason: 'FORBIDDEN' };

const folder = mkdtempSync(join(tmpdir(), 'infermesh-trust-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a node with a token for one join', () => {
  let mesh: TestMesh;
  const members: Member[] = [];

  beforeAll(async () => {
    mesh = await startMesh({ nodes: [canned] });
  });
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.stop()));
    await mesh.until((nodes) => nodes.length === 1);
    await expectAtRest(mesh);
  });
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  async function token(...flags: readonly string[]): Promise<string> {
    const args = ['token', 'create', '--json', '--router', mesh.address, '--api-key-file', mesh.tokenFile, ...flags];
    const { stdout, stderr } = await infermesh(args);
    expect(stderr).toBe('');
    return (JSON.parse(stdout) as { token: string }).token;
  }

  /** On a machine that has no copy of the router's token. */
  function node(id: string, ...flags: readonly string[]): Member {
    const own = ['--token-file', '/nonexistent/token', '--key-file', join(folder, `${id}.pem`), '--id', id];
    const member = startMember(['node', '--join', mesh.address, '--engine', 'replay', '--model', 'canned', ...own, ...flags]);
    members.push(member);
    return member;
  }

  const serving = (id: string) => mesh.until((nodes) => nodes.some((one) => one.id === id && one.models.length > 0));
  const absent = (id: string) => mesh.until((nodes) => nodes.every((one) => one.id !== id));

  it('joins, and from then on by its own key, after a restart as well', async () => {
    const first = node('gpu-1', '--join-token', await token());
    await serving('gpu-1');
    await first.stop();
    await absent('gpu-1');
    node('gpu-1');
    await serving('gpu-1');
  });

  it('leaves no use of it to a second one', async () => {
    const used = await token();
    node('gpu-2', '--join-token', used);
    await serving('gpu-2');
    const second = node('gpu-3', '--join-token', used);
    await expect.poll(() => second.output()).toMatch(/router_refused.*UNAUTHENTICATED/);
    expect((await mesh.client.nodes()).map(({ id }) => id)).not.toContain('gpu-3');
    expect(`${second.output()}${mesh.router.output()}`).not.toContain(used);
  });

  it('that was made for another id stays out', async () => {
    const other = node('gpu-4', '--join-token', await token('--node', 'gpu-5', '--ttl', '1m'));
    await expect.poll(() => other.output()).toMatch(/router_refused.*FORBIDDEN/);
  });

  it('keeps its id from the holders of the shared token', async () => {
    node('gpu-6', '--join-token', await token());
    await serving('gpu-6');
    using thief = new FakeNode(mesh.address, { id: 'gpu-6', epoch: Date.now() + 1e6 });
    expect(await thief.ended).toMatchObject(FORBIDDEN);
    expect((await mesh.client.nodes()).map(({ id }) => id)).toContain('gpu-6');
  });

  it('without one, a key or a copy of the shared one says what it lacks', async () => {
    const bare = node('gpu-7');
    const code = await new Promise((resolve) => bare.process.once('close', resolve));
    expect(code).toBe(1);
    expect(bare.output()).toContain('cannot read the join token in /nonexistent/token: ENOENT');
    const garbled = node('gpu-8', '--join-token', 'short');
    await new Promise((resolve) => garbled.process.once('close', resolve));
    expect(garbled.output()).toContain('--join-token must be 16 to 512 printable characters');
    expect(garbled.output()).not.toContain('"short"');
  });

  it('gets it from an admin only, though everybody may look at the mesh', async () => {
    await expect(mesh.client.createJoinToken()).rejects.toMatchObject(FORBIDDEN);
    using guesser = connect(mesh.address, { apiKey: 'a-token-that-was-guessed' });
    await expect(guesser.createJoinToken()).rejects.toMatchObject(FORBIDDEN);
    using admin = connect(mesh.address, { apiKey: TOKEN });
    const { expiresAt } = await admin.createJoinToken({ node: 'gpu-9', ttlSeconds: 60 });
    expect(expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(60_000);
    await expect(admin.createJoinToken({ node: '../gpu' })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    await expect(admin.createJoinToken({ ttlSeconds: 0 })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
  });
});

describe('a router with tenants', () => {
  const path = join(folder, 'tenants.yaml');
  const keys = { acme: 'the-api-key-of-acme', bolt: 'the-api-key-of-bolt', ops: 'the-api-key-of-ops', one: 'the-api-key-of-one' };
  const file = (acme = digestOfSecret(keys.acme)) => `
tenants:
  acme: { keys: ["${acme}"] }
  bolt: { keys: ["${digestOfSecret(keys.bolt)}"], quotas: { requestsPerMinute: 2 } }
  one: { keys: ["${digestOfSecret(keys.one)}"], quotas: { streams: 1 } }
  ops: { keys: ["${digestOfSecret(keys.ops)}"], role: admin }
`;
  const clients: Mesh[] = [];
  let mesh: TestMesh;

  beforeAll(async () => {
    writeFileSync(path, file());
    const policy = join(folder, 'policy.yaml');
    writeFileSync(policy, 'tenants: { acme: { name: acme-policy, deny: [forbidden] } }');
    mesh = await startMesh({
      routerFlags: ['--tenants', path, '--policy', policy],
      connect: { apiKey: keys.ops },
      nodes: [canned, { ...canned, model: 'forbidden' }, { ...canned, model: 'slow', replay: 'rate=20,length=2000' }],
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await expectAtRest(mesh);
  });
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  function as(options: ConnectOptions): Mesh {
    const client = connect(mesh.address, options);
    clients.push(client);
    return client;
  }

  it('answers who has a key', async () => {
    expect((await as({ apiKey: keys.acme }).ask({ messages: 'hello', model: 'canned' })).text).not.toBe('');
  });

  it.each([
    ['no key', {}, UNAUTHENTICATED],
    ['a wrong key', { apiKey: 'a-key-that-nobody-has' }, UNAUTHENTICATED],
    ["the hash of a tenant's key", { apiKey: digestOfSecret(keys.acme) }, UNAUTHENTICATED],
    ['the token that nodes share', { apiKey: TOKEN }, FORBIDDEN],
  ])('answers nobody with %s', async (_what, options, refusal) => {
    const client = as(options);
    await expect(client.ask({ messages: 'hello' })).rejects.toMatchObject(refusal);
    await expect(client.explain({ messages: 'hello' })).rejects.toMatchObject(refusal);
    await expect(client.feedback('some-request', { rating: 1 })).rejects.toMatchObject(refusal);
  });

  it('tells who has no key nothing of what is wrong with the request', async () => {
    await using wire = new RawConnection(mesh.address);
    const { fault } = await wire.call(CHAT, ChatRequest.encode(ChatRequest.fromPartial({ maxTokens: 0 })).finish());
    expect(fault).toMatchObject(UNAUTHENTICATED);
    expect(fault.violations).toEqual([]);
  });

  it('takes the policy from the key alone', async () => {
    const excluded = async (apiKey: string) => {
      const { candidates } = await as({ apiKey }).explain({ messages: 'hello', labels: { tenant: 'acme' } });
      return candidates.filter(({ exclusion }) => exclusion !== '').map(({ model }) => model);
    };
    expect(await excluded(keys.acme)).toContain('forbidden');
    expect(await excluded(keys.ops)).not.toContain('forbidden');
  });

  it('shows itself to admins only', async () => {
    const acme = as({ apiKey: keys.acme });
    await expect(acme.nodes()).rejects.toMatchObject(FORBIDDEN);
    await expect(acme.createJoinToken()).rejects.toMatchObject(FORBIDDEN);
    await expect(as({}).stats()).rejects.toMatchObject(UNAUTHENTICATED);
    expect(await as({ apiKey: TOKEN }).nodes()).toHaveLength(3);
    await as({ apiKey: keys.ops }).createJoinToken();
  });

  it('says in its log whose request it was', async () => {
    await as({ apiKey: keys.acme }).ask({ messages: 'hello', model: 'canned' });
    await expect.poll(() => mesh.router.output()).toMatch(/"tenant":"acme".*"outcome":"finished"/);
  });

  it('lets a tenant have what its quota says, and says when to come back; others do not feel it', async () => {
    const bolt = as({ apiKey: keys.bolt });
    for (let i = 0; i < 2; i++) await bolt.ask({ messages: 'hello', model: 'canned' });
    const fault = await bolt.ask({ messages: 'hello', model: 'canned' }).catch((thrown) => thrown);
    expect(fault).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: 'QUOTA_EXCEEDED' });
    expect(fault.retryAfterMs).toBeGreaterThan(20_000);
    expect(fault.retryAfterMs).toBeLessThanOrEqual(30_000);
    await as({ apiKey: keys.acme }).ask({ messages: 'hello', model: 'canned' });
  });

  it('lets a tenant have as many streams at the same time as its quota says, and the next when one ends', async () => {
    const one = as({ apiKey: keys.one });
    for (let i = 0; i < 3; i++) {
      const running = one.chat({ messages: 'hello', model: 'slow' });
      await running.next();
      await expect(one.ask({ messages: 'hello', model: 'slow' })).rejects.toMatchObject({ reason: 'QUOTA_EXCEEDED' });
      await running.return();
      await expectAtRest(mesh);
    }
    await one.ask({ messages: 'hello', model: 'canned' });
  });

  it('reads its file again when it changes, and keeps what it has when the file is bad', async () => {
    const acme = as({ apiKey: keys.acme });
    writeFileSync(path, `${file()}  bad: { keys: [${keys.acme}] }\n`);
    await expect.poll(() => mesh.router.output()).toMatch(/tenants_kept.*tenants\.bad\.keys\[0\] must be sha256/);
    await acme.ask({ messages: 'hello', model: 'canned' });
    writeFileSync(path, file(digestOfSecret('another-key-of-acme')));
    await expect.poll(() => mesh.router.output()).toContain('tenants_read');
    await expect(acme.ask({ messages: 'hello' })).rejects.toMatchObject(UNAUTHENTICATED);
    await as({ apiKey: 'another-key-of-acme' }).ask({ messages: 'hello', model: 'canned' });
    expect(mesh.router.output()).not.toContain(keys.acme);
  });
});

describe('a tenants file that is bad at the start', () => {
  it('keeps the router from starting', async () => {
    const path = join(folder, 'bad.yaml');
    writeFileSync(path, 'tenants: { a: { keys: [a-secret-in-the-clear] } }');
    const { code, stderr } = await infermesh([
      'router',
      '--listen',
      '127.0.0.1:0',
      '--token-file',
      join(folder, 't'),
      '--tenants',
      path,
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('tenants.a.keys[0] must be sha256:');
    expect(stderr).not.toContain('a-secret-in-the-clear');
  });
});
