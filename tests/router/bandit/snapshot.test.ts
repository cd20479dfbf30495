import { expect, it } from 'vitest';
import type { Fault } from '../../../proto/contract/faults.ts';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import { DAY, LAW, NOW, repeat, SMALL } from './worlds.ts';

const learnt = () => {
  const bandit = new Bandit();
  repeat(bandit, SMALL, LAW, 0.9, 40);
  bandit.served(SMALL, LAW, NOW);
  return bandit;
};

function violations(snapshot: unknown): string[] {
  try {
    Bandit.restore(snapshot);
  } catch (fault) {
    return (fault as Fault).violations.map(({ field, description }) => `${field} ${description}`);
  }
  return [];
}

it('a new bandit has a snapshot too', () => {
  expect(Bandit.restore(new Bandit().snapshot()).snapshot()).toEqual(new Bandit().snapshot());
});

it('a snapshot of another version is refused', () => {
  expect(violations({ ...learnt().snapshot(), version: 2 })).toEqual(['version must be 1']);
});

it('everything wrong with a snapshot is told by field', () => {
  const snapshot = structuredClone(learnt().snapshot());
  const [arm] = snapshot.arms;
  if (!arm) throw new Error('expected an arm');
  arm.total[0] = -1;
  arm.axes['domain:law'] = [1, 2] as never;
  expect(violations({ ...snapshot, halfLifeMs: 0 })).toEqual([
    'halfLifeMs must be 1 or more',
    'arms[0].total[0] must be 0 or more',
    expect.stringContaining('arms[0].axes.domain:law'),
  ]);
});

it.each([undefined, null, 7, 'state', [], {}])('%j is no snapshot', (value) => {
  expect(() => Bandit.restore(value)).toThrow();
});

it('names that this version does not know are left out, their arm keeps its total', () => {
  const snapshot = structuredClone(learnt().snapshot());
  const [arm] = snapshot.arms;
  if (!arm) throw new Error('expected an arm');
  Object.assign(arm.axes, { 'domain:alchemy': arm.total });
  Object.assign(arm.contexts, { 'alchemy/simple/chat': arm.total });
  Object.assign(snapshot.shares.counts, { 'alchemy/simple/chat': { small: 3 } });
  expect(Bandit.restore(snapshot).snapshot()).toEqual(learnt().snapshot());
});

it('with another half-life it keeps what it knows now, and fades at the new pace from here', () => {
  const bandit = learnt();
  const slower = Bandit.restore(bandit.snapshot(), { halfLifeMs: 30 * DAY });
  const [before, after] = [bandit, slower].map((one) => one.belief(SMALL, LAW, 0.5, NOW));
  expect(after?.mean).toBeCloseTo(before?.mean ?? 0, 1);
  const [faded, kept] = [bandit, slower].map((one) => one.belief(SMALL, LAW, 0.5, NOW + 60 * DAY));
  expect(kept?.mean).toBeGreaterThan((faded?.mean ?? 1) + 0.02);
});

it('bandits of different half-lives do not merge', () => {
  expect(() => new Bandit().merge(new Bandit({ halfLifeMs: DAY }))).toThrow(/^halfLifeMs must be/);
});
