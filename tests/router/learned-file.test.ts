import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LearnedFile, readLearned } from '../../router/learned-file.ts';
import { FakeClock } from '../support/clock.ts';

const ARM = { model: 'm', tier: 1 };
const CONTEXT = { domain: 'maths', complexity: 'simple', task: 'question' } as const;

let folder: string;
let path: string;
let clock: FakeClock;
const problems: string[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-learned-'));
  path = join(folder, 'learned.json');
  clock = new FakeClock();
  problems.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (bandit = readLearned(path)) => ({
  bandit,
  file: new LearnedFile(path, bandit, clock, (text) => problems.push(text)),
});
const belief = ({ bandit }: Pick<ReturnType<typeof open>, 'bandit'>) => bandit.belief(ARM, CONTEXT, 0.5, clock.wall());

it('brings back over a restart what was learnt', () => {
  const before = open();
  for (let n = 0; n < 20; n++) before.bandit.learn(ARM, CONTEXT, 0.5, 1, 1, clock.wall());
  before.file.close();
  const { mean, sd } = belief({ bandit: readLearned(path) });
  expect(mean).toBeGreaterThan(0.55);
  expect({ mean, sd }).toEqual(belief(before));
});

it('is written each minute, so that a crash loses no more, and leaves nothing else behind', () => {
  const { bandit, file } = open();
  bandit.learn(ARM, CONTEXT, 0.5, 1, 1, clock.wall());
  clock.advance(60_000);
  expect(belief({ bandit: readLearned(path) }).mean).toBeGreaterThan(0.5);
  expect(readdirSync(folder)).toEqual(['learned.json']);
  file.close();
  expect(clock.pending).toBe(0);
});

it('says once that it cannot be written, and goes on', () => {
  const { file } = open();
  rmSync(folder, { recursive: true });
  clock.advance(180_000);
  expect(problems).toEqual([expect.stringMatching(/^cannot write --learned .*: ENOENT$/)]);
  file.close();
});

it.each([
  ['{', /is not JSON/],
  ['{"version":9}', /version/],
])('is refused when it holds something else: %s', (text, message) => {
  writeFileSync(path, text);
  try {
    readLearned(path);
  } catch (fault) {
    expect(JSON.stringify(fault) + String(fault)).toMatch(message);
    expect(fault).toMatchObject({ reason: 'INVALID_REQUEST' });
    expect(readFileSync(path, 'utf8')).toBe(text);
    return;
  }
  expect.unreachable('it was taken');
});
