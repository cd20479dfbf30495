import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LogEntry } from '../../../router/ledger/decision-entry.ts';
import { boundedCandidates, lineOf, MAX_LOGGED_CANDIDATES, parseLine } from '../../../router/ledger/decision-entry.ts';
import type { DecisionLogOptions } from '../../../router/ledger/decision-log.ts';
import { DecisionLog } from '../../../router/ledger/decision-log.ts';
import { readEntries, Skipped } from '../../../router/ledger/log-reader.ts';
import { FakeClock } from '../../support/clock.ts';
import { anyEntry, CANDIDATE, decisionEntry, feedbackEntry } from './entries.ts';

let folder: string;
let clock: FakeClock;
let wallClock: number;
let warned: string[];

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'infermesh-log-')), 'decisions');
  clock = new FakeClock();
  wallClock = Date.parse('2026-11-21T12:00:00Z');
  warned = [];
});

afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

function startLog(more: Partial<DecisionLogOptions> = {}): DecisionLog {
  return new DecisionLog({ folder, clock, wallClock: () => wallClock, warn: (code) => warned.push(code), ...more });
}

const files = () => readdirSync(folder).sort();
const path = (name: string) => join(folder, name);
const today = 'decisions-2026-11-21.jsonl';

async function entriesIn(...names: string[]): Promise<{ entries: LogEntry[]; skipped: Skipped }> {
  const skipped = new Skipped();
  const entries = await Array.fromAsync(readEntries(names.map(path), skipped));
  return { entries, skipped };
}

describe('a line of the log', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(anyEntry, (entry) => {
        expect(lineOf(entry)).not.toContain('\n');
        expect(parseLine(lineOf(entry))).toEqual({ type: 'entry', entry });
      }),
    );
  });

  it('rounds numbers to what can matter', () => {
    expect(lineOf(feedbackEntry({ reward: 1 / 3 }))).toContain('"reward":0.3333333,');
  });

  it('says which field is wrong and not what stands there', () => {
    const wrong = { ...decisionEntry(), context: { ...decisionEntry().context, domain: 'my secret' } };
    expect(parseLine(JSON.stringify(wrong))).toEqual({ type: 'wrong', problem: 'is wrong in context.domain' });
    expect(parseLine(JSON.stringify(decisionEntry({ chosen: 1 })))).toEqual({ type: 'wrong', problem: 'is wrong in chosen' });
    expect(parseLine('{"v":1,')).toEqual({ type: 'wrong', problem: 'is not JSON' });
    expect(parseLine('[]')).toEqual({ type: 'wrong', problem: 'is not an entry of a log' });
    expect(parseLine('{"v":2}')).toEqual({ type: 'other_version', version: 2 });
  });

  it('holds a bounded number of candidates, in their order, and the chosen one always', () => {
    const hundred = Array.from({ length: 100 }, (_, place) => place);
    const first = (count: number) => hundred.slice(0, count);
    expect(boundedCandidates(hundred, 99)).toEqual({ kept: [...first(MAX_LOGGED_CANDIDATES - 1), 99], chosen: 63 });
    expect(boundedCandidates(hundred, 5)).toEqual({ kept: first(MAX_LOGGED_CANDIDATES), chosen: 5 });
    expect(boundedCandidates([CANDIDATE], 0)).toEqual({ kept: [CANDIDATE], chosen: 0 });
  });
});

describe('the log on disk', () => {
  it('has the lines of a day, for its owner only', async () => {
    const log = startLog();
    log.append(decisionEntry());
    log.append(feedbackEntry());
    await log.flush();
    log.append(decisionEntry({ request: 'r2' }));
    await log.close();
    expect(files()).toEqual([today]);
    expect(statSync(path(today)).mode & 0o777).toBe(0o600);
    const { entries, skipped } = await entriesIn(today);
    expect(entries).toEqual([decisionEntry(), feedbackEntry(), decisionEntry({ request: 'r2' })]);
    expect({ skipped: skipped.lines, dropped: log.dropped, written: log.written }).toEqual({
      skipped: 0,
      dropped: 0,
      written: 3,
    });
  });

  it('is written a moment later, all at once', async () => {
    const log = startLog();
    for (let i = 0; i < 100; i++) log.append(decisionEntry());
    expect(clock.pending).toBe(1);
    clock.advance(100);
    await log.flush();
    expect((await entriesIn(today)).entries).toHaveLength(100);
    expect(clock.pending).toBe(0);
    await log.close();
  });

  it('turns a page at midnight UTC and when a file is full, and goes on after a restart', async () => {
    let log = startLog({ maxFileBytes: 1000 });
    for (let i = 0; i < 5; i++) {
      log.append(decisionEntry());
      await log.flush();
    }
    await log.close();
    expect(files()).toEqual(['decisions-2026-11-21.1.jsonl', 'decisions-2026-11-21.2.jsonl', today]);
    log = startLog({ maxFileBytes: 1000 });
    log.append(decisionEntry());
    await log.flush();
    expect(files()).toHaveLength(3);
    wallClock += 86_400_000;
    log.append(decisionEntry());
    await log.close();
    expect(files()).toContain('decisions-2026-11-22.jsonl');
    expect((await entriesIn(...files())).entries).toHaveLength(7);
  });

  it('removes what is older than 30 days, and nothing that is not its own', async () => {
    mkdirSync(folder);
    const kept = ['decisions-2026-10-22.jsonl', 'decisions-2026-11-20.3.jsonl.gz', 'notes.txt', 'decisions-old.jsonl'];
    const old = ['decisions-2026-10-21.jsonl', 'decisions-2025-12-31.2.jsonl', 'decisions-2026-10-21.1.jsonl.gz'];
    for (const name of [...kept, ...old]) writeFileSync(path(name), '');
    const log = startLog();
    log.append(decisionEntry());
    await log.close();
    expect(files()).toEqual([...kept, today].sort());
  });

  it('is shared by several routers without a torn line', async () => {
    const logs = [startLog(), startLog(), startLog()];
    for (let i = 0; i < 50; i++) {
      for (const log of logs) log.append(decisionEntry());
      await Promise.all(logs.map((log) => log.flush()));
    }
    await Promise.all(logs.map((log) => log.close()));
    expect(await entriesIn(today)).toMatchObject({ entries: { length: 150 }, skipped: { lines: 0 } });
  });

  it('goes on after a torn last line', async () => {
    mkdirSync(folder);
    writeFileSync(path(today), `${lineOf(decisionEntry())}\n{"v":1,"type":"dec`);
    const log = startLog();
    log.append(feedbackEntry());
    await log.close();
    const { entries, skipped } = await entriesIn(today);
    expect(entries).toEqual([decisionEntry(), feedbackEntry()]);
    expect(skipped.told).toEqual([`${path(today)} line 2 is not JSON`]);
  });

  it('loses and counts what a full disk does not take, warns once, and goes on when there is room', async () => {
    mkdirSync(folder);
    symlinkSync('/dev/full', path(today));
    const log = startLog();
    for (let i = 0; i < 3; i++) {
      log.append(decisionEntry());
      await log.flush();
      clock.advance(5000);
      await log.flush();
    }
    expect({ dropped: log.dropped, written: log.written, warned }).toEqual({ dropped: 3, written: 0, warned: ['ENOSPC'] });
    unlinkSync(path(today));
    clock.advance(5000);
    log.append(decisionEntry());
    await log.close();
    expect({ dropped: log.dropped, written: log.written }).toEqual({ dropped: 3, written: 1 });
    expect((await entriesIn(today)).entries).toHaveLength(1);
  });

  it('leaves a disk that refused alone for a while, and keeps what comes', async () => {
    mkdirSync(join(folder, '..', 'elsewhere'));
    writeFileSync(folder, 'a file where the folder should be');
    const log = startLog();
    log.append(decisionEntry());
    await log.flush();
    expect(log.dropped).toBe(1);
    rmSync(folder);
    log.append(decisionEntry());
    await log.flush();
    expect(existsSync(folder)).toBe(false);
    clock.advance(5000);
    await log.flush();
    expect((await entriesIn(today)).entries).toHaveLength(1);
    await log.close();
  });

  it('keeps a bounded amount in memory', async () => {
    const bytes = Buffer.byteLength(lineOf(decisionEntry())) + 1;
    const log = startLog({ maxBufferBytes: 10 * bytes });
    for (let i = 0; i < 25; i++) log.append(decisionEntry());
    expect({ dropped: log.dropped, warned }).toEqual({ dropped: 15, warned: ['BUFFER_FULL'] });
    await log.close();
    expect(log.written).toBe(10);
    log.append(decisionEntry());
    expect(log.dropped).toBe(16);
  });

  it('begins a new file when an operator has removed the old one', async () => {
    const log = startLog();
    log.append(decisionEntry());
    await log.flush();
    unlinkSync(path(today));
    log.append(feedbackEntry());
    await log.close();
    expect((await entriesIn(today)).entries).toEqual([feedbackEntry()]);
  });
});

describe('reading a log', () => {
  it('takes plain and gzipped files, and skips empty and wrong lines with their numbers', async () => {
    mkdirSync(folder);
    const lines = [lineOf(decisionEntry()), '', 'secret words', lineOf(feedbackEntry())];
    writeFileSync(path('a.jsonl'), lines.join('\n'));
    writeFileSync(path('b.jsonl.gz'), gzipSync(lines.join('\n')));
    for (let i = 0; i < 10; i++) appendFileSync(path('c.jsonl'), '{"v":1}\n');
    const { entries, skipped } = await entriesIn('a.jsonl', 'b.jsonl.gz', 'c.jsonl');
    expect(entries).toHaveLength(4);
    expect(skipped.lines).toBe(12);
    expect(skipped.told).toHaveLength(5);
    expect(skipped.told.slice(0, 2)).toEqual([
      `${path('a.jsonl')} line 3 is not JSON`,
      `${path('b.jsonl.gz')} line 3 is not JSON`,
    ]);
    expect(skipped.told.join()).not.toContain('secret');
  });

  it('cuts lines where the disk gives them in pieces', async () => {
    mkdirSync(folder);
    const many = Array.from({ length: 2000 }, (_, i) => decisionEntry({ request: `r${i}`, policy: 'naïve' }));
    writeFileSync(path('a.jsonl'), many.map((entry) => `${lineOf(entry)}\n`).join(''));
    expect((await entriesIn('a.jsonl')).entries).toEqual(many);
  });

  it('skips a line without end and reads on', async () => {
    mkdirSync(folder);
    writeFileSync(path('a.jsonl'), `${'x'.repeat(3 * 2 ** 20)}\n${lineOf(feedbackEntry())}\n`);
    const { entries, skipped } = await entriesIn('a.jsonl');
    expect({ entries, told: skipped.told }).toEqual({
      entries: [feedbackEntry()],
      told: [`${path('a.jsonl')} line 1 is too long`],
    });
  });

  it.each([
    [
      'of another version',
      'v.jsonl',
      '{"v":7,"type":"decision"}\n',
      /line 1 is of version 7 of the log; this infermesh reads version 1/,
    ],
    ['cut short', 'cut.jsonl.gz', gzipSync('x'.repeat(1000)).subarray(0, 20), /cannot read .*cut\.jsonl\.gz: Z_BUF_ERROR/],
  ])('refuses a log that is %s', async (_what, name, content, message) => {
    mkdirSync(folder);
    writeFileSync(path(name), content);
    await expect(entriesIn(name)).rejects.toThrow(message);
    await expect(entriesIn('missing.jsonl')).rejects.toThrow(/cannot read .*: ENOENT/);
  });
});
