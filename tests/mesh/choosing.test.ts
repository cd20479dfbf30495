/** The choice on real processes: what a caller can ask for, what the router learns, and what it tells of it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChatInput, Mesh } from '../../client/index.ts';
import { Complexity } from '../../client/index.ts';
import type { MeshOptions, NodeOptions, TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';

const CANARY = 'canary-7f3a';
const EASY = `please wish Mia a happy birthday, ${CANARY}`;
const HARD = 'Let f be continuous on [0,1] with f(0) = f(1). Prove that for each n there is an x with f(x) = f(x + 1/n).';

const node = (id: string, tier: string, watts: number, more: Partial<NodeOptions> = {}): NodeOptions => ({
  id,
  model: id,
  engine: 'replay',
  replay: 'rate=2000,length=3',
  flags: ['--as-tier', tier, '--watts', String(watts), '--zone', tier === 'fast' ? 'here' : 'there'],
  ...more,
});
const SMALL = node('small', 'fast', 5);
const LARGE = node('large', 'cloud', 500);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-choosing-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Without chance, unless a test is about it. */
function started({ routerFlags = [], nodes = [SMALL, LARGE] }: MeshOptions = {}): Promise<TestMesh> {
  const policy = join(folder, 'steady.yaml');
  writeFileSync(policy, 'default: { exploration: 0 }\n');
  const flags = routerFlags.includes('--policy') ? [] : ['--policy', policy];
  return startMesh({ nodes, routerFlags: [...flags, ...routerFlags] });
}

async function modelFor(client: Mesh, input: Omit<ChatInput, 'messages'> & { readonly messages?: ChatInput['messages'] }) {
  const { started } = await client.ask({ messages: EASY, ...input });
  return started.model;
}

describe('a caller', () => {
  let mesh: TestMesh;
  beforeAll(async () => {
    mesh = await started();
  });
  afterAll(() => mesh?.[Symbol.asyncDispose]());

  it('gets the cheap model or the good one, by what it prefers', async () => {
    expect(await modelFor(mesh.client, { messages: HARD, preference: { cost: 1 } })).toBe('small');
    expect(await modelFor(mesh.client, { messages: HARD, preference: { quality: 1 } })).toBe('large');
  });

  it('can set limits that nobody crosses, and hears which one nobody meets', async () => {
    const best = { preference: { quality: 1 } };
    const { candidates } = await mesh.client.explain({ messages: HARD, ...best });
    const [small, large] = ['small', 'large'].map((name) => candidates.find(({ model }) => model === name)?.objectives);
    const between = ((small?.costUsd ?? 0) + (large?.costUsd ?? 0)) / 2;
    expect(await modelFor(mesh.client, { messages: HARD, ...best, limits: { maxCostUsd: between } })).toBe('small');
    const minQuality = ((small?.quality ?? 0) + (large?.quality ?? 0)) / 2;
    expect(await modelFor(mesh.client, { messages: HARD, preference: { cost: 1 }, limits: { minQuality } })).toBe('large');
    await expect(mesh.client.ask({ messages: HARD, limits: { maxCostUsd: 0 } })).rejects.toThrow(/the most allowed is \$0/);
  });

  it('can name the zones that may answer', async () => {
    expect(await modelFor(mesh.client, { preference: { cost: 1 }, zones: ['there'] })).toBe('large');
    await expect(mesh.client.ask({ messages: EASY, zones: ['nowhere'] })).rejects.toMatchObject({ reason: 'UNSUPPORTED' });
  });

  it('is told with the first event what was expected and why', async () => {
    const { started } = await mesh.client.ask({ messages: HARD, preference: { quality: 0.5, cost: 0.5 } });
    const { decision } = started;
    expect(decision).toMatchObject({ complexity: Complexity.COMPLEXITY_COMPLEX, domain: 'maths', language: 'en', propensity: 1 });
    expect(decision?.preference).toMatchObject({ quality: 0.5, cost: 0.5 });
    expect(decision?.objectives?.costUsd).toBeGreaterThan(0);
    expect(decision?.tiers.map(({ probability }) => probability)).toEqual(
      decision?.tiers.map(({ probability }) => probability).toSorted((a, b) => a - b),
    );
    expect(JSON.stringify(started)).not.toContain('continuous');
  });

  it('finds the same in explain, candidate by candidate', async () => {
    const { decision, candidates } = await mesh.client.explain({ messages: EASY, preference: { cost: 1 } });
    expect(candidates.map(({ model, chosen, onFront }) => [model, chosen, onFront])).toEqual([
      ['small', true, true],
      ['large', false, true],
    ]);
    expect(decision?.reason).toContain('small');
  });
});

describe('a router', () => {
  it('learns from ratings which model is worth it, and knows it after a restart', async () => {
    const learned = join(folder, 'learned.json');
    const twins = [node('one', 'fast', 10), node('other', 'fast', 10)];
    const routerFlags = ['--learned', learned];
    let favourite = '';
    {
      await using mesh = await started({ nodes: twins, routerFlags });
      favourite = await modelFor(mesh.client, { preference: { quality: 1 } });
      for (let n = 0; n < 12; n++) {
        const { started } = await mesh.client.ask({ messages: `${EASY} ${n}`, model: favourite });
        expect(await mesh.client.feedback(started.requestId, { rating: 0 })).toBeLessThan(0.3);
      }
      expect(await modelFor(mesh.client, { preference: { quality: 1 } })).not.toBe(favourite);
      expect(await mesh.client.stats()).toMatchObject({ feedbacks: 12 });
    }
    expect(readFileSync(learned, 'utf8')).not.toContain(CANARY);
    await using again = await started({ nodes: twins, routerFlags });
    expect(await modelFor(again.client, { preference: { quality: 1 } })).not.toBe(favourite);
  });

  it('refuses a rating of a request it does not know', async () => {
    await using mesh = await started({ nodes: [SMALL] });
    await expect(mesh.client.feedback('nobody', { rating: 1 })).rejects.toMatchObject({ reason: 'REQUEST_UNKNOWN' });
    await expect(mesh.client.feedback('nobody', {})).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  it('holds to its policy', async () => {
    const policy = join(folder, 'policy.yaml');
    writeFileSync(policy, 'default: { deny: [small], preference: { cost: 1 }, exploration: 0 }\n');
    await using mesh = await started({ routerFlags: ['--policy', policy] });
    expect(await modelFor(mesh.client, {})).toBe('large');
    await expect(mesh.client.ask({ messages: EASY, model: 'small' })).rejects.toThrow(/policy default does not allow/);
  });

  it('explores within its budget, and says so with the propensity', async () => {
    const policy = join(folder, 'curious.yaml');
    writeFileSync(policy, 'default: { exploration: 0.3 }\n');
    const twins = [node('one', 'fast', 10), node('other', 'fast', 10)];
    await using mesh = await started({ nodes: twins, routerFlags: ['--policy', policy] });
    const decisions = [];
    for (let n = 0; n < 40; n++) decisions.push((await mesh.client.ask({ messages: `${EASY} ${n}` })).started.decision);
    const explored = decisions.filter((decision) => decision?.explored);
    expect(explored.length).toBeGreaterThan(0);
    expect(explored.length).toBeLessThanOrEqual(0.3 * 40 + 1);
    for (const decision of explored) expect(decision?.propensity).toBeLessThan(1);
    expect(await mesh.client.stats()).toMatchObject({ explored: explored.length });
    const steady = await mesh.client.ask({ messages: EASY, withoutExploration: true });
    expect(steady.started.decision).toMatchObject({ explored: false, propensity: 1 });
  });

  it('counts who got what, what it cost and what it saved', async () => {
    await using mesh = await started();
    for (const preference of [{ cost: 1 }, { cost: 1 }, { quality: 1 }]) await mesh.client.ask({ messages: EASY, preference });
    const { models, complexities, costUsd, referenceUsd } = await mesh.client.stats();
    expect(models.map(({ model, chosen, finished, outputTokens }) => [model, chosen, finished, outputTokens])).toEqual([
      ['small', 2, 2, 6],
      ['large', 1, 1, 3],
    ]);
    expect(complexities.reduce((sum, { requests }) => sum + requests, 0)).toBe(3);
    expect(costUsd).toBeGreaterThan(0);
    expect(referenceUsd / costUsd).toBeGreaterThan(2);
  });

  it('logs its decisions without a word of what was asked', async () => {
    const decisions = join(folder, 'decisions');
    {
      await using mesh = await started({ routerFlags: ['--decision-log', decisions] });
      const { started: first } = await mesh.client.ask({ messages: EASY, sessionId: CANARY, labels: { a: CANARY } });
      await mesh.client.feedback(first.requestId, { rating: 0.5 });
    }
    const [file = ''] = readdirSync(decisions);
    const text = readFileSync(join(decisions, file), 'utf8');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ type }) => type)).toEqual(['decision', 'feedback']);
    expect(lines[0]).toMatchObject({ policy: 'default', propensity: 1, outcome: { finish: 'stop', outputTokens: 3 } });
    expect(text).not.toContain(CANARY);
  });

  it('does not start with a policy or a memory that it cannot use', async () => {
    const bad = join(folder, 'bad.yaml');
    writeFileSync(bad, 'default: { exploration: 7 }\n');
    await expect(started({ routerFlags: ['--policy', bad] })).rejects.toThrow(/exploration.*from 0 to 1, received 7/);
    await expect(started({ routerFlags: ['--learned', bad] })).rejects.toThrow(/--learned .*is not JSON/);
  });
});

describe('a conversation', () => {
  it('stays with its model, and goes elsewhere only for what is much better', async () => {
    await using mesh = await started();
    const sessionId = 's-1';
    const input = { messages: EASY, sessionId } as const;
    expect(await modelFor(mesh.client, { ...input, preference: { cost: 1 } })).toBe('small');
    const { candidates } = await mesh.client.explain({ ...input, preference: { cost: 0.5, quality: 0.5 } });
    expect(candidates.find(({ model }) => model === 'small')).toMatchObject({ session: true });
    expect(await modelFor(mesh.client, { ...input, messages: HARD, preference: { quality: 1 } })).toBe('large');
    const after = await mesh.client.explain({ ...input, preference: { quality: 1 } });
    expect(after.candidates.find(({ model }) => model === 'large')).toMatchObject({ session: true });
  });
});
