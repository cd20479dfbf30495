import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const MODEL = 'same';
let mesh: TestMesh;

beforeAll(async () => {
  const node = { engine: 'replay', model: MODEL, replay: 'rate=400', slots: 8 } as const;
  mesh = await startMesh({ nodes: [node, node] });
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh[Symbol.asyncDispose]());

interface Turn {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

const user = (text: string): Turn => ({ role: 'user', text });
const document = (name: string) => `${name}: the tenant pays the rent in advance, on the first of each month. `.repeat(120);

async function ask(messages: readonly Turn[], more: { readonly sessionId?: string } = {}) {
  const { text, started, finished } = await mesh.client.ask({ messages, model: MODEL, maxTokens: 20, ...more });
  const { inputTokens = 0, cachedInputTokens = 0 } = finished.usage ?? {};
  return { text, node: started.node, inputTokens, cachedInputTokens };
}

/** Asks as many questions, each with all that came before. */
async function converse(opening: string, turns: number, more: { readonly sessionId?: string } = {}) {
  const messages = [user(opening)];
  const answers = [];
  for (let turn = 1; turn <= turns; turn++) {
    const answer = await ask(messages, more);
    answers.push(answer);
    messages.push({ role: 'assistant', text: answer.text }, user(`question ${turn}`));
  }
  return answers;
}

const nodesOf = (answers: readonly { readonly node: string }[]) => new Set(answers.map(({ node }) => node));

describe('a conversation', () => {
  it.each(['a lease', 'a letter', 'a report'])(
    'about %s stays on the node that has read it, and is read there once',
    async (name) => {
      const [first, ...next] = await converse(document(name), 4);
      expect(nodesOf([first!, ...next]).size).toBe(1);
      expect(first?.cachedInputTokens).toBe(0);
      for (const { inputTokens, cachedInputTokens } of next) expect(cachedInputTokens).toBeGreaterThan(0.9 * inputTokens);
      const growing = next.map(({ cachedInputTokens }) => cachedInputTokens);
      expect(growing).toEqual(growing.toSorted((a, b) => a - b));
    },
  );

  it.each(['s-1', 's-2', 's-3', 's-4'])(
    'of the session %s stays on its node though there is next to nothing to read',
    async (sessionId) => {
      expect(nodesOf(await converse('hi', 5, { sessionId })).size).toBe(1);
    },
  );

  it('is known as far as its node reports it, answers too', async () => {
    const messages = [user(document('the minutes'))];
    const { text, node, inputTokens } = await ask(messages);
    const next = { messages: [...messages, { role: 'assistant', text } as const, user('and then?')], model: MODEL };
    const cached = async () => (await mesh.client.explain(next)).candidates.find((one) => one.node === node)?.cachedPromptTokens;
    // What the router presumes by itself ends with the prompt.
    await expect.poll(cached, { interval: 50 }).toBeGreaterThan(inputTokens + 10);
  });

  it('that begins as another did goes where that was read', async () => {
    const shared = document('the handbook');
    const { node } = await ask([user(shared), user('one')]);
    const other = await ask([user(shared), user('two')]);
    expect(other.node).toBe(node);
    expect(other.cachedInputTokens).toBeGreaterThan(0.9 * other.inputTokens);
  });
});

it('a beginning that all share does not pile up on the node that has read it', async () => {
  const shared = document('the rules');
  await ask([user(shared), user('first')]);
  const all = await Promise.all(Array.from({ length: 12 }, (_, i) => ask([user(shared), user(`question ${i}`)])));
  const counts = ['node-1', 'node-2'].map((id) => all.filter(({ node }) => node === id).length);
  expect(Math.min(...counts)).toBeGreaterThanOrEqual(3);
});

it('a conversation whose node has died goes on at another', async () => {
  const messages = [user(document('the plan'))];
  const victim = await mesh.addNode({ engine: 'replay', model: 'other', replay: 'length=5', id: 'victim', slots: 2 });
  const one = await mesh.client.ask({ messages, model: 'other', sessionId: 'v' });
  expect(one.started.node).toBe('victim');
  await mesh.addNode({ engine: 'replay', model: 'other', replay: 'length=5', id: 'heir', slots: 2 });
  await victim.stop('SIGKILL');
  await mesh.until((nodes) => !nodes.some(({ id }) => id === 'victim'));
  const two = await mesh.client.ask({ messages, model: 'other', sessionId: 'v' });
  expect(two.started.node).toBe('heir');
  expect(two.finished.usage?.cachedInputTokens).toBe(0);
});
