import { describe, expect, it } from 'vitest';
import type { DecisionEntry, LogEntry, LoggedCandidate } from '../../../router/ledger/decision-entry.ts';
import { lineOf, parseLine } from '../../../router/ledger/decision-entry.ts';
import type { Figure, ReplayOptions, ReplayReport } from '../../../router/ledger/replay.ts';
import { Replay } from '../../../router/ledger/replay.ts';
import { parsePolicies } from '../../../router/policy-file.ts';
import { play, truthOf } from '../../support/decision-world.ts';
import { CANDIDATE, decisionEntry, feedbackEntry } from './entries.ts';

const CHEAPER = 'default: { name: cheaper, preference: { cost: 0.6, quality: 0.3, latency: 0.1, diversity: 0 } }';
const SAME = 'default: { name: default }';

function replayed(entries: readonly LogEntry[], policy: string, options: ReplayOptions = {}): ReplayReport {
  const replay = new Replay(parsePolicies(policy), options);
  for (const entry of entries) replay.add(entry);
  return replay.report()!;
}

const figures: readonly Figure[] = ['costUsd', 'reward', 'latencyMs'];
const decisions = (entries: readonly LogEntry[]) => entries.filter((entry): entry is DecisionEntry => entry.type === 'decision');

describe('a policy that never ran', () => {
  const truth = truthOf(parsePolicies(CHEAPER).default);
  const runs = Array.from({ length: 40 }, (_, seed) => replayed(play({ seed, decisions: 400 }), CHEAPER));

  it.each(figures)('gets the %s that it gets when it really chooses, within the intervals', (figure) => {
    const covered = (name: 'doublyRobust' | 'snips' | 'ips') =>
      runs.filter((run) => run.figures[figure]![name].low <= truth[figure] && truth[figure] <= run.figures[figure]![name].high)
        .length;
    // 95 % of 40 are 38; plain and self-normalised weights are skewed, and their intervals a little too short.
    expect(covered('doublyRobust')).toBeGreaterThanOrEqual(35);
    expect(covered('snips')).toBeGreaterThanOrEqual(32);
    expect(covered('ips')).toBeGreaterThanOrEqual(32);
  });

  it.each(figures)('is told the %s most closely by doubly robust, and far from what was logged', (figure) => {
    const width = (name: 'doublyRobust' | 'ips') =>
      runs.reduce((sum, { figures }) => sum + figures[figure]![name].high - figures[figure]![name].low, 0);
    expect(width('doublyRobust')).toBeLessThan(0.85 * width('ips'));
    const logged = runs.reduce((sum, run) => sum + run.figures[figure]!.logged.value, 0) / runs.length;
    expect(Math.abs(logged / truth[figure] - 1)).toBeGreaterThan(0.08);
  });

  it('is answered without warning, with weights of 1 in the mean', () => {
    const report = replayed(play({ seed: 1, decisions: 2000 }), CHEAPER);
    expect(report).toMatchObject({ policies: ['cheaper'], decisions: 2000, refused: 0, warnings: [] });
    expect(report.support.meanWeight!.low).toBeLessThan(1);
    expect(report.support.meanWeight!.high).toBeGreaterThan(1);
    expect(report.models.map(({ model }) => model)).toEqual(['small-1b', 'middle-3b', 'large-8b']);
    for (const which of ['logged', 'replayed'] as const) {
      expect(report.models.reduce((sum, shares) => sum + shares[which], 0)).toBeCloseTo(1);
    }
  });
});

describe('the policy that wrote the log', () => {
  it('is told what is logged: every decision counts as itself', () => {
    const report = replayed(play({ seed: 3, decisions: 2000 }), SAME);
    expect(report.support.effectiveDecisions).toBeGreaterThan(1990);
    for (const figure of figures) {
      const { logged, ips, doublyRobust, change } = report.figures[figure]!;
      expect(ips.value / logged.value).toBeCloseTo(1, 1);
      expect(doublyRobust.value / logged.value).toBeCloseTo(1, 1);
      expect(change.low).toBeLessThanOrEqual(0);
      expect(change.high).toBeGreaterThanOrEqual(0);
    }
  });
});

describe('a log replayed', () => {
  it('is the same from its lines, in any order, and with lines that come twice', () => {
    const entries = play({ seed: 4, decisions: 300, rated: 0.5 });
    const read = entries.map(lineOf).map(parseLine);
    const again = read.flatMap((parsed) => (parsed.type === 'entry' ? [parsed.entry] : []));
    const direct = replayed(entries, CHEAPER);
    const fromLines = replayed([...again, ...again.slice(0, 50)], CHEAPER);
    expect(fromLines.decisions).toBe(300);
    expect(fromLines.figures.reward!.doublyRobust.value).toBeCloseTo(direct.figures.reward!.doublyRobust.value, 5);
    const shuffled = replayed(entries.toReversed(), CHEAPER);
    expect(shuffled.figures.costUsd!.ips.value).toBeCloseTo(direct.figures.costUsd!.ips.value, 12);
    expect(shuffled.figures.reward!.logged.value).toBeCloseTo(direct.figures.reward!.logged.value, 12);
  });

  it('goes by the latest reward of each answer', () => {
    const rewards = (entries: readonly LogEntry[]) => replayed(entries, SAME).figures.reward!.logged.value;
    const two = [decisionEntry(), decisionEntry({ request: 'r2' })];
    expect(rewards(two)).toBeCloseTo(0.7);
    const later = feedbackEntry({ reward: 0.1, at: '2026-11-21T12:00:00.000Z' });
    expect(rewards([...two, feedbackEntry(), later])).toBeCloseTo(0.4);
    expect(rewards([later, feedbackEntry(), ...two])).toBeCloseTo(0.4);
  });

  it("counts one tenant's decisions when asked to, each tenant under its own policy", () => {
    const log = [...play({ seed: 5, decisions: 200, tenant: 'acme' }), ...play({ seed: 6, decisions: 200 })];
    const policies = `${CHEAPER}\ntenants: { acme: { preference: { cost: 0, quality: 1, latency: 0 } } }`;
    expect(replayed(log, policies)).toMatchObject({ decisions: 400, policies: ['acme', 'cheaper'] });
    const one = replayed(log, policies, { tenant: 'acme' });
    expect(one).toMatchObject({ decisions: 200, policies: ['acme'] });
    expect(one.models[0]!.model).toBe('large-8b');
  });

  it('follows a preference and a wish not to explore that came with the request, under any policy', () => {
    const own = decisions(play({ seed: 8, decisions: 200 })).map((entry) => ({ ...entry, ownPreference: true }));
    const models = (entries: readonly LogEntry[], policy: string) =>
      Object.fromEntries(replayed(entries, policy).models.map(({ model, replayed }) => [model, replayed]));
    expect(models(own, CHEAPER)).toEqual(models(own, SAME));
    const quiet = own
      .filter(({ explored }) => !explored)
      .map((entry) => ({ ...entry, withoutExploration: true, mayExplore: false }));
    expect(replayed(quiet, SAME).support).toMatchObject({ certain: 1, effectiveDecisions: quiet.length });
  });

  it('without end is sampled, with the ratings of what is taken', () => {
    const entries = play({ seed: 14, decisions: 1000, rated: 1 });
    const all = replayed(entries, CHEAPER);
    const some = replayed(entries, CHEAPER, { maxDecisions: 300 });
    expect([all.oneIn, some.oneIn]).toEqual([1, 4]);
    expect(some.decisions).toBeGreaterThan(200);
    expect(some.decisions).toBeLessThanOrEqual(300);
    expect(some.support.silent).toBe(0);
    for (const figure of figures) {
      const { low, high } = some.figures[figure]!.doublyRobust;
      expect(all.figures[figure]!.doublyRobust.value).toBeGreaterThan(low);
      expect(all.figures[figure]!.doublyRobust.value).toBeLessThan(high);
    }
  });

  it('has nothing to report without a decision', () => {
    const replay = new Replay(parsePolicies(''));
    replay.add(feedbackEntry());
    expect(replay.report()).toBeUndefined();
  });
});

describe('models, zones and limits of the policy', () => {
  const log = play({ seed: 9, decisions: 400 });

  it.each([
    ['deny: [large-8b]', ['middle-3b', 'small-1b']],
    ['models: [middle-3b]', ['middle-3b']],
    ['limits: { minQuality: 0.7 }', ['large-8b', 'middle-3b', 'small-1b']],
  ])('hold with %s', (fields, models) => {
    const report = replayed(log, `default: { ${fields} }`);
    const taken = report.models.filter(({ replayed }) => replayed > 0.001).map(({ model }) => model);
    expect(taken.toSorted()).toEqual(models);
  });

  it('leave out nodes in other zones, so that a model costs the time of those that remain', () => {
    const home = replayed(log, 'default: { zones: [home] }').figures.latencyMs!;
    const away = replayed(log, 'default: { zones: [away] }').figures.latencyMs!;
    expect(away.doublyRobust.value).toBeGreaterThan(home.doublyRobust.value);
  });

  it('tell how many requests would be refused, and leave them out', () => {
    const report = replayed(log, 'default: { limits: { maxCostUsd: 0.00002 } }');
    const dear = decisions(log).filter(({ candidates }) => candidates.every(({ costUsd }) => costUsd > 0.00002)).length;
    expect(dear).toBeGreaterThan(10);
    expect(report.refused).toBe(dear);
    expect(report.warnings.join()).toMatch(/permits nothing that was at hand in \d+ % of the decisions/);
  });
});

describe('a log that cannot answer', () => {
  const warnings = (entries: readonly LogEntry[], policy: string) => replayed(entries, policy).warnings.join('\n');

  it('says so where it never explored', () => {
    const sure = play({ seed: 10, decisions: 400, policy: { ...parsePolicies(SAME).default, exploration: 0 } });
    const { support, warnings } = replayed(sure, 'default: { preference: { cost: 0, quality: 1, latency: 0, diversity: 0 } }');
    expect(support.certain).toBe(1);
    expect(support.untried).toBeGreaterThan(0.2);
    expect(warnings.join('\n')).toMatch(/100 % of the decisions left nothing to chance/);
    expect(warnings.join('\n')).toMatch(/of what the policy would choose the log hardly ever tried/);
  });

  it('says so where few of its decisions are like those of the policy', () => {
    const log = play({ seed: 11, decisions: 300, unsure: 0.05 });
    expect(warnings(log, 'default: { models: [large-8b] }')).toMatch(/the log tells as much as \d+ decisions .*too few/);
  });

  it('says so where the propensities cannot be true', () => {
    const false_ = decisions(play({ seed: 12, decisions: 1000 })).map((entry) => ({
      ...entry,
      propensities: Object.fromEntries(Object.entries(entry.propensities).map(([model, p]) => [model, p / 3])),
    }));
    expect(warnings(false_, CHEAPER)).toMatch(/the propensities do not fit the choices/);
  });

  it('says so where few answers have a reward', () => {
    const silent = decisions(play({ seed: 13, decisions: 400 })).map((entry, i) => {
      const { reward: _, rewardWeight: __, ...outcome } = entry.outcome;
      return i % 4 === 0 ? entry : { ...entry, outcome };
    });
    expect(warnings(silent, SAME)).toMatch(/only 25 % of the decisions have a reward/);
    expect(replayed(silent, SAME).figures.reward!.decisions).toBe(100);
  });
});

describe('rewards that are silence', () => {
  it('are told, unless a rating came later', () => {
    const entries = Array.from({ length: 10 }, (_, i) => {
      const outcome = { ...decisionEntry().outcome, rewardParts: { unremarked: 1 } };
      return decisionEntry({ request: `r${i}`, outcome });
    });
    expect(replayed(entries, SAME).warnings.join()).toMatch(/100 % of the rewards are silence/);
    const rated = entries.slice(0, 6).map(({ request }) => feedbackEntry({ request }));
    expect(replayed([...entries, ...rated], SAME).support.silent).toBeCloseTo(0.4);
    expect(replayed([...entries, ...rated], SAME).warnings.join()).not.toMatch(/silence/);
  });
});

describe('answers that failed or were cancelled', () => {
  it('cost what they cost, and tell nothing of latency', () => {
    const failed = decisionEntry({ request: 'r2', outcome: { ...decisionEntry().outcome, finish: 'failed', costUsd: 0 } });
    const report = replayed([decisionEntry(), decisionEntry({ request: 'r3' }), failed], SAME);
    expect(report.figures.costUsd!.decisions).toBe(3);
    expect(report.figures.latencyMs!.decisions).toBe(2);
  });

  it('and figures that too few decisions have are absent', () => {
    const report = replayed([decisionEntry()], SAME);
    expect(report.figures).toEqual({});
    expect(report.models).toEqual([{ model: 'small', tier: 1, logged: 1, replayed: 1 }]);
  });
});

describe('a decision that was drawn', () => {
  it('is told apart from what was believed best', () => {
    const dear: LoggedCandidate = {
      ...CANDIDATE,
      node: 'n2',
      model: 'large',
      tier: 3,
      quality: { mean: 0.7, sd: 0.1 },
      costUsd: 0.01,
    };
    const drawn = decisionEntry({
      candidates: [CANDIDATE, dear],
      chosen: 1,
      explored: true,
      propensity: 0.2,
      propensities: { small: 0.8, large: 0.2 },
    });
    const certain = {
      ...drawn,
      request: 'r2',
      chosen: 0,
      explored: false,
      propensity: 1,
      mayExplore: false,
      propensities: { small: 1 },
    };
    const report = replayed([drawn, certain], 'default: { exploration: 0 }');
    // The drawn one weighs nothing, the other a little more than 1: half of the decisions could explore.
    expect(report.models[0]).toMatchObject({ model: 'small', replayed: 1 });
    expect(report.support.meanWeight!.value).toBeGreaterThan(0.5);
    expect(report.support.meanWeight!.value).toBeLessThan(0.65);
  });
});
