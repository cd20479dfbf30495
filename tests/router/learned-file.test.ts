import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LearnedFile, readLearned } from '../../router/learned-file.ts';
import { Bandit } from '../../router/select/bandit/bandit.ts';
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

const open = (at = path) => {
  const learned = readLearned(at, clock);
  return { learned, bandit: learned.bandit, file: new LearnedFile(at, learned, clock, (text) => problems.push(text)) };
};
const teach = ({ bandit }: { readonly bandit: Bandit }, times = 20) => {
  for (let n = 0; n < times; n++) bandit.learn(ARM, CONTEXT, 0.5, 1, 1, clock.wall());
};
const belief = ({ bandit }: { readonly bandit: Bandit }) => bandit.belief(ARM, CONTEXT, 0.5, clock.wall());

it('brings back over a restart what was learnt', () => {
  const before = open();
  teach(before);
  before.file.close();
  const { mean, sd } = belief(readLearned(path, clock));
  expect(mean).toBeGreaterThan(0.55);
  expect({ mean, sd }).toEqual(belief(before));
});

it('is written each minute, so that a crash loses no more, and leaves nothing else behind', () => {
  const { bandit, file } = open();
  bandit.learn(ARM, CONTEXT, 0.5, 1, 1, clock.wall());
  clock.advance(60_000);
  expect(belief(readLearned(path, clock)).mean).toBeGreaterThan(0.5);
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

describe('the replica that others know what was learnt by', () => {
  const own = ({ learned }: ReturnType<typeof open>) => learned.replicas.own;
  const past = ({ learned }: ReturnType<typeof open>) => learned.replicas.others.map(({ id }) => id);

  it('goes on after a restart in order, with the next version', () => {
    const before = open();
    teach(before);
    before.file.close();
    const after = open();
    expect(own(after).id).toBe(own(before).id);
    expect(own(after).version).toBe(own(before).version);
    teach(after, 1);
    after.learned.collect();
    expect(own(after).version).toBe(own(before).version + 1);
    expect(own(after).parts.get('arm:m')?.version).toBe(own(after).version);
  });

  it('is another after a crash, beside the one before', () => {
    const before = open();
    teach(before);
    clock.advance(60_000);
    const after = open();
    expect(own(after).id).not.toBe(own(before).id);
    expect(past(after)).toEqual([own(before).id]);
    teach(after);
    after.file.close();
    const last = readLearned(path, clock);
    expect(last.replicas.own.id).toBe(own(after).id);
    expect(last.replicas.others.map(({ id }) => id)).toEqual([own(before).id]);
    expect(belief(last)).toEqual(belief(after));
    expect(belief(last).sd).toBeLessThan(belief(before).sd);
  });

  it.each<[string, (from: string, to: string) => void]>([
    ['a copy', copyFileSync],
    ['a copy with its times', (from, to) => cpSync(from, to, { preserveTimestamps: true })],
    ['a backup that is put back over what came after', (from, to) => writeFileSync(to, readFileSync(from))],
  ])('is another for who starts from %s', (_what, copy) => {
    const before = open();
    teach(before);
    before.file.close();
    const elsewhere = join(folder, 'copy.json');
    writeFileSync(elsewhere, 'something else');
    copy(path, elsewhere);
    const [first, second] = [open(), open(elsewhere)];
    expect(own(first).id).toBe(own(before).id);
    expect(own(second).id).not.toBe(own(before).id);
    expect(past(second)).toEqual([own(before).id]);
    expect(belief(second)).toEqual(belief(first));
  });

  it('is another for who starts while the one before runs', () => {
    const before = open();
    teach(before);
    before.file.close();
    const [running, second] = [open(), open()];
    expect(own(running).id).toBe(own(before).id);
    expect(own(second).id).not.toBe(own(before).id);
  });

  it('of a file from before there were replicas is the same one for every copy', () => {
    const bandit = new Bandit();
    teach({ bandit });
    bandit.served(ARM, CONTEXT, clock.wall());
    writeFileSync(path, JSON.stringify(bandit.snapshot()));
    const elsewhere = join(folder, 'copy.json');
    copyFileSync(path, elsewhere);
    const [one, other] = [open(), open(elsewhere)];
    expect(past(one)).toEqual(past(other));
    expect(past(one)).toHaveLength(1);
    expect(belief(one)).toEqual(belief({ bandit }));
    expect(one.bandit.share(ARM, CONTEXT, clock.wall())).toBe(1);
    one.file.close();
    expect(belief(readLearned(path, clock))).toEqual(belief({ bandit }));
  });

  it('is kept while it tells anything: of many runs the 64 that learnt most', () => {
    for (let run = 0; run < 70; run++) {
      const one = open();
      teach(one, 1 + (run % 3));
      // A crash.
      one.file.save();
    }
    const after = open();
    expect(past(after)).toHaveLength(64);
    const muchLater = { now: () => 0, wall: () => clock.wall() + 400 * 86_400_000 };
    expect(readLearned(path, muchLater).replicas.others).toEqual([]);
  });
});

it.each([
  ['{', /is not JSON/],
  ['{"version":9}', /version/],
  ['{"version":2,"mark":"","closed":true,"replicas":[{"id":"a/b","version":1,"parts":[]}]}', /must be an identity/],
  ['{"version":2,"mark":"","closed":true,"replicas":[{"id":"ab","version":1,"parts":[["arm:m",1,{}]]}]}', /version/],
])('is refused when it holds something else: %s', (text, message) => {
  writeFileSync(path, text);
  try {
    readLearned(path, clock);
  } catch (fault) {
    expect(JSON.stringify(fault) + String(fault)).toMatch(message);
    expect(fault).toMatchObject({ reason: 'INVALID_REQUEST' });
    expect(readFileSync(path, 'utf8')).toBe(text);
    return;
  }
  expect.unreachable('it was taken');
});
