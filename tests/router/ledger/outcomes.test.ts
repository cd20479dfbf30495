import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { DecisionEntry, LogEntry } from '../../../router/ledger/decision-entry.ts';
import { lineOf, parseLine } from '../../../router/ledger/decision-entry.ts';
import type { Learner, Outcome, OutcomesParts, Served } from '../../../router/ledger/outcomes.ts';
import { Outcomes } from '../../../router/ledger/outcomes.ts';
import { REWARD_WEIGHTS } from '../../../router/ledger/reward.ts';
import { ModelShares } from '../../../router/ledger/shares.ts';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import type { Arm } from '../../../router/select/belief.ts';
import { decisionEntry } from './entries.ts';

const START = Date.parse('2026-11-21T10:00:00Z');
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const ARM: Arm = { model: 'small', tier: 1 };
const { at: _at, request: _request, v: _v, type: _type, outcome: DONE, ...CHOICE } = decisionEntry();
const { reward: _reward, rewardWeight: _weight, rewardParts: _parts, ...OUTCOME } = DONE;

interface Lesson {
  reward: number;
  readonly weight: number;
  readonly at: number;
  readonly prior: number;
}

/** What holds now of each answer, in the order of their ends. */
class FakeLearner implements Learner<Lesson> {
  readonly lessons: Lesson[] = [];
  readonly shared: string[] = [];

  learn(_arm: Arm, _context: unknown, prior: number, reward: number, weight: number, at: number): Lesson {
    const lesson = { reward, weight, at, prior };
    this.lessons.push(lesson);
    return lesson;
  }

  revise(lesson: Lesson, reward: number, weight: number): Lesson {
    const revised = { ...lesson, reward, weight };
    this.lessons[this.lessons.indexOf(lesson)] = revised;
    return revised;
  }

  served({ model }: Arm): void {
    this.shared.push(model);
  }
}

let learner: FakeLearner;
let shares: ModelShares;
let log: LogEntry[];

beforeEach(() => {
  learner = new FakeLearner();
  shares = new ModelShares();
  log = [];
});

function start(more: Partial<OutcomesParts<Lesson>> = {}): Outcomes<Lesson> {
  return new Outcomes({ learner, shares, log: (entry) => log.push(entry), weights: REWARD_WEIGHTS, ...more });
}

let hash = 0;
const served = (request: string, more: Partial<Served> = {}): Served => ({
  request,
  tenant: undefined,
  arm: ARM,
  context: { domain: 'general', complexity: 'simple', task: 'chat' },
  prior: 0.6,
  expected: 0.65,
  promisedMs: 5000,
  promptHash: hash++,
  choice: CHOICE,
  ...more,
});
const outcome = (more: Partial<Outcome> = {}): Outcome => ({ ...OUTCOME, ...more });
const decisions = () => log.filter((entry): entry is DecisionEntry => entry.type === 'decision');

describe('an answer that ended', () => {
  it('is learnt at the time it was chosen, counted, and logged once', () => {
    const outcomes = start();
    outcomes.served(served('r1', { tenant: 'acme' }), START);
    outcomes.ended('r1', outcome({ latencyMs: 10_000 }));
    outcomes.ended('r1', outcome());
    expect(learner).toMatchObject({ shared: ['small'], lessons: [{ at: START, prior: 0.6 }] });
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({ type: 'decision', at: new Date(START).toISOString(), request: 'r1', tenant: 'acme' });
    const { reward, rewardParts } = decisions()[0]!.outcome;
    // Twice as late as promised leaves half of what was expected.
    expect({ reward, rewardParts }).toEqual({ reward: 0.325, rewardParts: { latency: 0.5 } });
    expect(shares.figures().models[0]).toMatchObject({ chosen: 1, finished: 1, inputTokens: 100, reward: 0.325 });
  });

  it('leaves a line that can be read back, and nothing but what the log may hold', () => {
    const outcomes = start();
    outcomes.served(served('r1', { promptHash: 123_456_789 }), START);
    outcomes.ended('r1', outcome());
    outcomes.feedback('r1', { rating: 1 }, START + HOUR);
    for (const entry of log) {
      expect(parseLine(lineOf(entry))).toEqual({ type: 'entry', entry });
      expect(lineOf(entry)).not.toContain('123456789');
    }
  });

  it('in failure is the model’s fault only where its engine failed', () => {
    const outcomes = start();
    for (const [request, fault] of Object.entries({ engine: 'ENGINE_FAILED', crash: 'ENGINE_CRASHED', node: 'NODE_LOST' })) {
      outcomes.served(served(request), START);
      outcomes.ended(request, outcome({ finish: 'failed', fault }));
    }
    outcomes.served(served('left'), START);
    outcomes.ended('left', outcome({ finish: 'cancelled' }));
    expect(decisions().map(({ outcome }) => outcome.reward)).toEqual([0, 0, undefined, undefined]);
    expect(learner.lessons).toHaveLength(2);
    expect(shares.figures().models[0]).toMatchObject({ chosen: 4, finished: 0 });
  });

  it('from a model that the caller named teaches, and is neither logged nor counted as a choice', () => {
    const outcomes = start();
    outcomes.served(served('r1', { choice: undefined }), START);
    outcomes.ended('r1', outcome(), { refused: true });
    expect(outcomes.feedback('r1', { rating: 0.4 }, START)).toBeLessThan(0.4);
    expect(learner.lessons).toHaveLength(1);
    expect(log).toEqual([]);
    expect(shares.figures().models.map(({ chosen }) => chosen)).not.toContain(1);
  });
});

describe('feedback', () => {
  it('replaces the reward, one figure at a time, and leaves a line each', () => {
    const outcomes = start();
    outcomes.served(served('r1'), START);
    outcomes.ended('r1', outcome());
    const silence = learner.lessons[0]!.weight;
    const first = outcomes.feedback('r1', { rating: 1 }, START + HOUR);
    expect(first).toBe(1);
    const second = outcomes.feedback('r1', { groundedness: 0.2, recall: undefined }, START + 2 * HOUR);
    expect(second).toBeLessThan(1);
    expect(second).toBeGreaterThan(0.2);
    expect(outcomes.feedback('r1', { rating: 0.2 }, START + 3 * HOUR)).toBeCloseTo(0.2);
    expect(learner.lessons).toHaveLength(1);
    expect(learner.lessons[0]!.weight).toBeGreaterThan(silence);
    expect(log.slice(1).map((entry) => [entry.type, entry.type === 'feedback' && entry.cause])).toEqual([
      ['feedback', 'rating'],
      ['feedback', 'rating'],
      ['feedback', 'rating'],
    ]);
    expect(shares.figures()).toMatchObject({ feedbacks: 3, models: [{ reward: expect.closeTo(0.2) }] });
  });

  it('that comes before the end stands in the line of the decision', () => {
    const outcomes = start();
    outcomes.served(served('r1'), START);
    expect(outcomes.feedback('r1', { rating: 0.9 }, START)).toBeCloseTo(0.9);
    outcomes.ended('r1', outcome());
    expect(log).toHaveLength(1);
    expect(decisions()[0]!.outcome).toMatchObject({ reward: 0.9, rewardParts: { rating: 0.9 } });
    expect(learner.lessons).toHaveLength(1);
  });

  it('on what is not remembered is REQUEST_UNKNOWN: never seen, a day old, or pushed out by newer ones', () => {
    const outcomes = start({ maxRequests: 3 });
    const rate = (request: string, now: number) => () => outcomes.feedback(request, { rating: 1 }, now);
    expect(rate('r0', START)).toThrow(expect.objectContaining({ reason: 'REQUEST_UNKNOWN', code: 5 }));
    for (const request of ['r1', 'r2', 'r3', 'r4']) outcomes.served(served(request), START);
    expect(outcomes.remembered).toBe(3);
    expect(rate('r1', START)).toThrow(/does not remember/);
    expect(rate('r2', START + 23 * HOUR)).not.toThrow();
    expect(rate('r2', START + 24 * HOUR)).toThrow(/does not remember/);
    expect(outcomes.remembered).toBe(0);
  });

  it('that the weights ignore changes nothing', () => {
    const outcomes = start({ weights: { ...REWARD_WEIGHTS, rating: 0, unremarked: 0 } });
    outcomes.served(served('r1'), START);
    outcomes.ended('r1', outcome());
    expect(outcomes.feedback('r1', { rating: 1 }, START)).toBe(0);
    expect(learner.lessons).toEqual([]);
    expect(log.map(({ type }) => type)).toEqual(['decision']);
  });
});

describe('the same prompt again', () => {
  const rewards = () => learner.lessons.map(({ reward }) => reward);

  function twice(minutes: number, first: Partial<Outcome>, hashes: readonly [number, number] = [7, 7]): void {
    const outcomes = start();
    outcomes.served(served('r1', { promptHash: hashes[0] }), START);
    outcomes.ended('r1', outcome(first));
    outcomes.served(served('r2', { promptHash: hashes[1] }), START + minutes * MINUTE);
  }

  it('within ten minutes of a whole answer tells that it did not do', () => {
    twice(9, {});
    expect(rewards()).toEqual([expect.closeTo(0.3 * 0.65)]);
    expect(log[1]).toMatchObject({ type: 'feedback', cause: 'retry', request: 'r1', rewardParts: { retry: 0.3 } });
  });

  it.each([
    ['later', () => twice(10, {})],
    ['after another', () => twice(1, {}, [7, 8])],
    ['after a failure', () => twice(1, { finish: 'failed', fault: 'NODE_LOST' })],
    ['after giving up', () => twice(1, { finish: 'cancelled' })],
  ])('%s tells nothing', (_when, run) => {
    run();
    expect(log.map(({ type }) => type)).toEqual(['decision']);
  });

  it('counts once for each answer, and each answer once', () => {
    const outcomes = start();
    for (let i = 0; i < 4; i++) {
      outcomes.served(served(`r${i}`, { promptHash: 7 }), START + i * MINUTE);
      outcomes.ended(`r${i}`, outcome());
    }
    expect(log.filter(({ type }) => type === 'feedback').map(({ request }) => request)).toEqual(['r0', 'r1', 'r2']);
    expect(rewards().slice(0, 3)).toEqual(Array(3).fill(expect.closeTo(0.195)));
    expect(rewards()[3]).toBeCloseTo(0.65);
  });
});

describe('with the bandit', () => {
  const context = { domain: 'general', complexity: 'simple', task: 'chat' } as const;

  function believed(ratings: readonly number[]) {
    const bandit = new Bandit();
    const outcomes = new Outcomes({ learner: bandit, shares, log: () => {}, weights: REWARD_WEIGHTS });
    for (let i = 0; i < 5; i++) {
      outcomes.served(served(`r${i}`), START + i);
      outcomes.ended(`r${i}`, outcome());
    }
    for (const rating of ratings) outcomes.feedback('r0', { rating }, START + HOUR);
    return bandit.belief(ARM, context, 0.6, START + HOUR);
  }

  it('an answer rated many times teaches what its last rating alone does', () => {
    const rating = fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10);
    fc.assert(
      fc.property(fc.array(rating, { minLength: 1, maxLength: 20 }), (ratings) => {
        const [many, last] = [believed(ratings), believed(ratings.slice(-1))];
        expect(Math.abs(many.mean - last.mean)).toBeLessThan(0.01);
        expect(Math.abs(many.sd - last.sd)).toBeLessThan(0.01);
      }),
    );
    expect(believed([1]).mean - believed([0]).mean).toBeGreaterThan(0.1);
  });
});
