/** `infermesh classify` as a process: prompts in, lines out. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { COMPLEXITIES, DOMAINS, TASKS, TIERS } from '../../router/classify/classification.ts';
import { events, infermesh } from './run.ts';

const folder = mkdtempSync(join(tmpdir(), 'infermesh-classify-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, lines: readonly unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));
  return path;
}

/** Easy and hard sums, of which one model can do the easy only. */
const sums = Array.from({ length: 80 }, (_, i) => ({
  prompt:
    i % 2 === 0
      ? `What is ${i} + ${i + 1}?`
      : `Prove that for every group of order ${i} the centre is not trivial, or refute it.`,
  right: [i % 2 === 0 ? 1 : 0, 1],
  usd: [0.001, 0.02],
}));

test('a prompt is told for a person, and as one object', async () => {
  const { code, stdout } = await infermesh(['classify', 'What is the capital of France?']);
  expect(code).toBe(0);
  for (const word of ['complexity', 'suffices', 'fast', 'domain', 'task', 'language', 'tokens']) expect(stdout).toContain(word);
  const json = await infermesh(['classify', '--json'], { stdin: 'What is the capital of France?' });
  const [told] = events(json.stdout) as [Record<string, unknown>];
  expect(COMPLEXITIES).toContain(told.complexity);
  expect(DOMAINS).toContain(told.domain);
  expect(TASKS).toContain(told.task);
  expect(Object.keys(told.suffices as object)).toEqual([...TIERS]);
});

test('lines come out in the order in which they came in, each with rank, qualities and costs', async () => {
  const prompts = ['hi', '', '你好，世界', '𝕏'.repeat(300_000), 'What is 2 + 2?', '\u0000\ud800 broken'];
  const path = file(
    'in.jsonl',
    prompts.map((prompt, id) => ({ id: id === 0 ? 'first' : id, prompt })),
  );
  const { code, stdout, stderr } = await infermesh(['classify', '--jsonl', path]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = events(stdout);
  expect(lines.map(({ id }) => id)).toEqual(['first', 1, 2, 3, 4, 5]);
  for (const { complexity, rank, q, c } of lines) {
    expect(COMPLEXITIES).toContain(complexity);
    expect(rank).toEqual(expect.any(Number));
    expect(Object.keys(q as object).length).toBeGreaterThan(10);
    for (const quality of Object.values(q as object)) expect(quality >= 0 && quality <= 1).toBe(true);
    for (const usd of Object.values(c as object)) expect(usd).toBeGreaterThanOrEqual(0);
  }
});

test('a file of many lines goes through whole', async () => {
  const stdin = Array.from({ length: 5000 }, (_, id) => `${JSON.stringify({ id, prompt: `What is ${id} times ${id}?` })}\n`).join(
    '',
  );
  const { code, stdout } = await infermesh(['classify', '--jsonl', '-'], { stdin });
  expect(code).toBe(0);
  expect(events(stdout).map(({ id }) => id)).toEqual([...Array(5000).keys()]);
});

test.each([
  ['{"id": 2, "prompt": "secret', 'line 2 of stdin must be JSON'],
  ['["secret"]', 'line 2 of stdin must be a JSON object'],
  ['{"prompt": "secret"}', 'line 2 of stdin: id must be a text or a number'],
  ['{"id": 2, "prompt": ["secret"]}', 'line 2 of stdin: prompt must be a text'],
])('of the wrong line %s its number is told, not what it says, after the lines before it', async (wrong, message) => {
  const { code, stdout, stderr } = await infermesh(['classify', '--jsonl'], { stdin: `{"id": 1, "prompt": "hi"}\n${wrong}\n` });
  expect(code).toBe(2);
  expect(events(stdout).map(({ id }) => id)).toEqual([1]);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('secret');
});

test('text that is not UTF-8 is refused by its line', async () => {
  const { code, stderr } = await infermesh(['classify', '--jsonl'], { stdin: Buffer.from([0x22, 0xff, 0x22, 0x0a]) });
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('line 1 of stdin must be UTF-8') });
});

test('scored prompts teach models that nobody knew, by name', async () => {
  const warm = file(
    'named.jsonl',
    sums.map(({ prompt, right, usd }) => ({
      prompt,
      score: { 'acme-small': right[0], 'acme-large': right[1] },
      cost: { 'acme-small': usd[0], 'acme-large': usd[1] },
    })),
  );
  const { stdout, stderr } = await infermesh(['classify', '--jsonl', '--warm', warm], {
    stdin: ['What is 500 + 3?', 'Prove that for every group of order 501 the centre is not trivial, or refute it.']
      .map((prompt, id) => `${JSON.stringify({ id, prompt })}\n`)
      .join(''),
  });
  expect(stderr).toBe('');
  const [easy, hard] = events(stdout) as { rank: number; q: Record<string, number>; c: Record<string, number> }[];
  expect(easy?.q['acme-small']).toBeGreaterThan((hard?.q['acme-small'] as number) + 0.3);
  expect(hard?.q['acme-large']).toBeGreaterThan(0.8);
  expect(easy?.c['acme-small']).toBeCloseTo(0.001, 4);
  expect(hard?.rank).toBeGreaterThan(easy?.rank as number);
  const shown = await infermesh(['classify', '--warm', warm, 'What is 500 + 3?']);
  expect(shown.stdout).toMatch(/MODEL +QUALITY +USD PER 1,000\n +acme-(?:large|small)/);
});

test('the models of a list are named by the line, by datasets.json, or by their place', async () => {
  const lists = sums.map(({ prompt, right }) => ({ prompt, score: right, dataset: 'sums_of_all_kinds' }));
  const learnt = async (path: string) => {
    const { stdout, stderr } = await infermesh(['classify', '--json', '--warm', path, 'What is 1 + 1?']);
    const { q } = JSON.parse(stdout) as { q: Record<string, number> };
    return { names: Object.keys(q), stderr };
  };
  const plain = await learnt(file('plain.jsonl', lists));
  expect(plain.names).toEqual(expect.arrayContaining(['0', '1']));
  expect(plain.stderr).toContain('names no models: they go by their place, 0 to 1');
  const own = await learnt(
    file(
      'own.jsonl',
      lists.map((line) => ({ ...line, models: ['tiny', 'huge'] })),
    ),
  );
  expect(own).toEqual({ names: expect.arrayContaining(['tiny', 'huge']), stderr: '' });
  file('datasets.json', [{ sums: { models: ['low', 'high'], weak: 0, strong: 1, score_max: 1 } }]);
  const beside = await learnt(file('any.jsonl', lists));
  expect(beside).toEqual({ names: expect.arrayContaining(['low', 'high']), stderr: '' });
});

test.each([
  [{ prompt: 'secret', score: [1, 3] }, 'line 2 of FILE: score must hold numbers from 0 to 1'],
  [{ prompt: 'secret', score: { a: 'secret' } }, 'line 2 of FILE: score must hold numbers from 0 to 1'],
  [{ prompt: 'secret' }, 'line 2 of FILE: score must be a list or an object of numbers'],
  [
    { prompt: 'secret', score: [1, 1], models: ['a'] },
    'line 2 of FILE: score must have one number for each of 1 models, received 2',
  ],
])('of a wrong line of scored prompts %j its number is told', async (wrong, message) => {
  const warm = file('wrong.jsonl', [{ prompt: 'fine', score: [1, 0] }, wrong]);
  const { code, stderr } = await infermesh(['classify', '--warm', warm, 'hi']);
  expect(code).toBe(2);
  expect(stderr).toContain(message.replace('FILE', warm));
  expect(stderr).not.toContain('secret');
});
