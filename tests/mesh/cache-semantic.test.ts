/** Answers to other prompts that mean the same, by the embedding model that comes with the project. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { ChatInput } from '../../client/index.ts';
import { CacheSource, NodeState } from '../../client/index.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

let mesh: TestMesh;
beforeAll(async () => {
  mesh = await startMesh({
    nodes: [
      { id: 'chat', engine: 'replay', model: 'canned', replay: 'length=20' },
      { id: 'embed', engine: 'llama-cpp', model: 'all-minilm-l6-v2' },
    ],
  });
  await mesh.until((nodes) => nodes.filter(({ state }) => state === NodeState.NODE_STATE_SERVING).length === 2);
});
afterEach(() => expectAtRest(mesh));
afterAll(() => mesh?.[Symbol.asyncDispose]());

const asking = (messages: string, more: Partial<ChatInput> = {}): ChatInput => ({
  messages,
  sampling: { temperature: 0 },
  cache: { semantic: true },
  ...more,
});
const cachedOf = async (input: ChatInput) => (await mesh.client.ask(input)).finished.cached;

it('a prompt that means the same gets the answer, and is told so; one that differs in what can be read off does not', async () => {
  const first = await mesh.client.ask(asking('How do I reset the password of my account?'));
  expect(first.finished.cached).toBeUndefined();
  const again = await mesh.client.ask(asking('How can I reset the password of my account?'));
  expect(again.text).toBe(first.text);
  expect(again.finished.cached).toMatchObject({
    source: CacheSource.CACHE_SOURCE_SEMANTIC,
    requestId: first.started.requestId,
  });
  expect(again.finished.cached?.similarity).toBeGreaterThan(0.9);
  expect(again.finished.cached?.similarity).toBeLessThan(1);

  await mesh.client.ask(asking('What is 15 percent of 80?'));
  expect(await cachedOf(asking('What is 15 percent of 90?'))).toBeUndefined();
  await mesh.client.ask(asking('Which vaccines are recommended for travel to Kenya?'));
  expect(await cachedOf(asking('Which vaccines are not recommended for travel to Kenya?'))).toBeUndefined();
});

it('it is off unless the caller or the policy asks for it, and other words around the prompt are another matter', async () => {
  await mesh.client.ask(asking('How do I change the colour of my profile?'));
  const other = 'How can I change the colour of my profile?';
  expect(await cachedOf(asking(other, { cache: {} }))).toBeUndefined();
  const system = { role: 'system', text: 'Answer in one word.' } as const;
  expect(await cachedOf({ ...asking(other), messages: [system, { role: 'user', text: other }] })).toBeUndefined();
});

it('hits are checked against fresh answers, and too many false ones switch it off until it is purged', async () => {
  // Replay answers each prompt with a text of its own, so that most hits are false.
  const questions = [
    'invoice',
    'receipt',
    'contract',
    'passport',
    'ticket',
    'licence',
    'certificate',
    'statement',
    'permit',
    'card',
  ];
  for (const one of questions) {
    await mesh.client.ask(asking(`How do I download my ${one} from the portal?`));
    await mesh.client.ask(asking(`How can I download my ${one} from the portal?`));
  }
  const semantic = async () => (await mesh.client.cacheStats()).semantic;
  await expect.poll(async () => (await semantic())?.stopped).toBe(true);
  const told = await semantic();
  expect(told?.falseHits).toBeGreaterThan(1);
  expect(mesh.router.output()).toContain('semantic_stopped');
  await mesh.client.ask(asking('How do I print the report of this year?'));
  expect(await cachedOf(asking('How can I print the report of this year?'))).toBeUndefined();
  await mesh.client.purgeCache();
  await mesh.client.ask(asking('How do I print the report of this year?'));
  expect((await cachedOf(asking('How can I print the report of this year?')))?.source).toBe(CacheSource.CACHE_SOURCE_SEMANTIC);
});
