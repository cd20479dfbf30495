import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lineOf } from '../../router/ledger/decision-entry.ts';
import { play } from '../support/decision-world.ts';
import { infermesh } from './run.ts';

const EXAMPLES = new URL('../../docs/examples/', import.meta.url).pathname;
const LOG = join(EXAMPLES, 'decisions.jsonl.gz');
const CHEAPER = join(EXAMPLES, 'cheaper.yaml');

let folder: string;
const path = (name: string) => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-replay-'));
  const lines = play({ seed: 1, decisions: 50, tenant: 'acme' }).map(lineOf);
  writeFileSync(path('good.jsonl'), `${lines.join('\n')}\n`);
  writeFileSync(path('damaged.jsonl'), `${lines.slice(0, 10).join('\n')}\nmy secret prompt\n{"v":1}\n`);
  writeFileSync(path('newer.jsonl'), `${lines[0]}\n{"v":2}\n`);
  writeFileSync(path('wrong.yaml'), 'default: { preference: { cost: 7 }, speed: fast }');
});

afterAll(() => rmSync(folder, { recursive: true }));

test('the report is what the documentation shows', async () => {
  const { code, stdout, stderr } = await infermesh(['replay', LOG, '--policy', CHEAPER]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const page = readFileSync(new URL('../../docs/replay.md', import.meta.url), 'utf8');
  const [, shown = ''] = /```\n(\d+ decisions[\s\S]*?)```/.exec(page) ?? [];
  expect(stdout).toBe(shown);
});

test('with --json it is one object with every figure unrounded', async () => {
  const { code, stdout } = await infermesh(['replay', LOG, '--policy', CHEAPER, '--json']);
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    policies: ['cheaper'],
    decisions: 600,
    refused: 0,
    figures: { costUsd: { decisions: 600 }, reward: { decisions: 600 }, latencyMs: { decisions: 600 } },
    warnings: [],
    skipped: { lines: 0, first: [] },
  });
  const { ips, snips, doublyRobust, logged, change } = report.figures.costUsd;
  for (const { low, value, high } of [ips, snips, doublyRobust, logged, change]) {
    expect(low).toBeLessThan(value);
    expect(value).toBeLessThan(high);
  }
});

test('a log that cannot answer is told so', async () => {
  const { code, stdout } = await infermesh(['replay', LOG, '--policy', join(EXAMPLES, 'strongest.yaml')]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/careful: 5\d % of what the policy would choose the log hardly ever tried/);
});

test('damaged lines are skipped and named by their number, never by their content', async () => {
  const { code, stdout, stderr } = await infermesh(['replay', path('damaged.jsonl'), '--policy', CHEAPER]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^10 decisions/);
  expect(stderr).toBe(
    [
      '2 lines were skipped:',
      `  ${path('damaged.jsonl')} line 11 is not JSON`,
      `  ${path('damaged.jsonl')} line 12 is wrong in type\n`,
    ].join('\n'),
  );
});

test("a tenant's decisions are replayed alone", async () => {
  const args = ['replay', path('good.jsonl'), LOG, '--policy', CHEAPER, '--json', '--tenant'];
  expect(JSON.parse((await infermesh([...args, 'acme'])).stdout)).toMatchObject({ decisions: 50 });
});

describe('what cannot be replayed ends with 2, one cause in a line', () => {
  test.each<[string, () => string[], RegExp]>([
    ['no policy', () => [LOG], /required option '--policy <FILE>' not specified/],
    ['no log', () => ['--policy', CHEAPER], /missing required argument 'LOG'/],
    [
      'a policy out of bounds',
      () => [LOG, '--policy', path('wrong.yaml')],
      /default\.preference\.cost must be .*received 7\n.*speed is not/,
    ],
    ['a policy that is not there', () => [LOG, '--policy', path('no.yaml')], /cannot read the policy file .*no\.yaml: ENOENT/],
    ['a log that is not there', () => [path('no.jsonl'), '--policy', CHEAPER], /cannot read .*no\.jsonl: ENOENT/],
    ['a newer log', () => [path('newer.jsonl'), '--policy', CHEAPER], /newer\.jsonl line 2 is of version 2 of the log/],
    [
      'a tenant without decisions',
      () => [LOG, '--policy', CHEAPER, '--tenant', 'nobody'],
      /there is no decision of nobody in the log/,
    ],
  ])('%s', async (_what, args, message) => {
    const { code, stdout, stderr } = await infermesh(['replay', ...args()]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^infermesh: /);
    expect(stderr).toMatch(message);
  });
});
