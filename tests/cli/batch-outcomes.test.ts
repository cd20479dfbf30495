/** The file that a batch's outcomes go into, as one run leaves it to the next. */
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { openOutcomes } from '../../cli/batch/outcomes.ts';
import { MAX_LINE } from '../../cli/lines.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-outcomes-'));
  path = join(folder, 'out.jsonl');
  return () => rmSync(folder, { recursive: true });
});

const answer = (id: string, text = 'hi') => `${JSON.stringify({ id, text, finish_reason: 'stop' })}\n`;
const failure = (id: string) => `${JSON.stringify({ id, error: { reason: 'NO_NODE' } })}\n`;

async function answeredIn(content: string): Promise<readonly string[]> {
  writeFileSync(path, content);
  const outcomes = await openOutcomes(path);
  await outcomes.close();
  return [...outcomes.answered];
}

it.each([
  ['a text without a line end', 'the only notes of somebody'],
  ['an object without a line end', '{"precious":true}'],
])('%s is not taken for a line that was cut off', async (_, content) => {
  await expect(answeredIn(content)).rejects.toThrow(`line 1 of ${path} holds no outcome of a batch`);
  expect(readFileSync(path, 'utf8')).toBe(content);
});

it.each(['{', '{"id"', '{"id":"a","te', '{"id":"a","text":"hi","finish_reason":"stop"}'])(
  'a first line that was cut off after %s is removed',
  async (torn) => {
    expect(await answeredIn(torn)).toEqual([]);
    expect(readFileSync(path, 'utf8')).toBe('');
  },
);

it('answers that are longer than any request are known again', async () => {
  const long = answer('long', 'x'.repeat(2 * MAX_LINE));
  expect(await answeredIn(`${long}${failure('bad')}${answer('short')}`)).toEqual(['long', 'short']);
  expect(readFileSync(path, 'utf8')).toBe(`${long}${answer('short')}`);
});

it('failures that cannot be taken out are told, and nothing is lost', async () => {
  mkdirSync(`${path}.part`);
  const content = `${failure('bad')}${answer('good')}`;
  await expect(answeredIn(content)).rejects.toThrow(`cannot use ${path}.part for the outcomes: EISDIR`);
  expect(readFileSync(path, 'utf8')).toBe(content);
});

it('a link to the file stays one when failures are taken out', async () => {
  const file = join(folder, 'file.jsonl');
  writeFileSync(file, `${failure('bad')}${answer('good')}`);
  symlinkSync(file, path);
  await (await openOutcomes(path)).close();
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(readFileSync(file, 'utf8')).toBe(answer('good'));
});

it('long lines that come from two sides at once stand one behind the other', async () => {
  const outcomes = await openOutcomes(path);
  const lines = ['a', 'b', 'c', 'd'].map((id) => ({ id, text: id.repeat(3_000_000), finish_reason: 'stop' }));
  await Promise.all(lines.map((line) => outcomes.write(line)));
  await outcomes.close();
  expect(readFileSync(path, 'utf8')).toBe(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
});
