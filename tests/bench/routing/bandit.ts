/**
 * The bandit on replays: every model's score on every prompt is known, so what a player would have got is too. Prompts
 * are ones whose questions the classifier was not trained on; contexts and priors are what it makes of the prompt alone.
 *
 * Two starts. Cold: the priors are the shipped kind of weights, no reward has come. Warm: 300 prompts come with scores of
 * all models; heads are fitted on them (router/classify/warm.ts), and both the bandit and the context-free sampler have
 * learnt them before the race. Reward is score - weight x cost, cost in units of what the dearest model takes on average.
 */
import type { LexicalClassifier } from '../../../router/classify/classifier.ts';
import { learnModels } from '../../../router/classify/warm.ts';
import { Bandit } from '../../../router/select/bandit/bandit.ts';
import type { Arm } from '../../../router/select/belief.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';
import type { Dataset } from '../../../router/train/data.ts';
import { seeded, shuffle } from '../../../router/train/random.ts';
import type { Player, Turn } from '../bandit/players.ts';
import { contextFree, contextual, priorOnly, teach } from '../bandit/players.ts';
import type { Spread } from '../bandit/race.ts';
import { bestByGroup, bestFixed, placesInDomain, race, regretCurve, spreadOf, spreadOfCurves, sum } from '../bandit/race.ts';
import type { Target } from '../report.ts';
import type { Asked, Trials } from './trials.ts';

export const COST_WEIGHTS = [0, 0.1, 0.3, 1] as const;
const WARM_PROMPTS = 300;
/** Fewer prompts left to choose for say nothing. */
const LEAST_TURNS = 100;
/** So many requests of its domain come before a player's choices count as converged. */
const LEARNING = 100;
const POINTS = 120;
/** Where all models' tiers are unknown they borrow from each other. */
const TIER = 0;

export type PlayerName = 'bandit' | 'contextFree' | 'priorOnly' | 'contextFreeCold';

/** One data set, start and cost weight: medians over the seeds, with the least and the most. */
export interface Replay {
  readonly pool: string;
  readonly start: 'cold' | 'warm';
  readonly costWeight: number;
  readonly turns: number;
  /** Against the best fixed arm in hindsight, in rewards over all turns; under 0 is better than it. */
  readonly regrets: Readonly<Partial<Record<PlayerName, Spread>>>;
  readonly curves: Readonly<Partial<Record<PlayerName, readonly Spread[]>>>;
  /** Bandit's reward over that of the best arm of each predicted domain in hindsight, after 100 requests of the domain. */
  readonly converged: Spread;
  /** The same against the best arm of each true subject, which nobody who sees only prompts knows. */
  readonly convergedBySubject: Spread;
}

export interface BanditFigures {
  readonly figures: Readonly<Record<string, number>>;
  readonly targets: readonly Target[];
  readonly notes: readonly string[];
  readonly replays: readonly Replay[];
}

/** Trains once, on half of the questions, and replays the other half of each data set in as many orders as there are seeds. */
export function banditFigures(trials: Trials, seeds: number): BanditFigures {
  const { rows, datasets } = trials.data;
  const partOf = trials.parts(2);
  const indexes = [...rows.keys()].filter((index) => partOf[index] === 0);
  const classifier = trials.train('half of all questions left out, for replays', (index) => partOf[index] !== 0, indexes);
  const asked = Map.groupBy(trials.ask(classifier, indexes), ({ row }) => row.pool);
  const replays = Object.entries(datasets).flatMap(([pool, dataset]) => {
    const own = asked.get(pool) ?? [];
    return own.length < WARM_PROMPTS + LEAST_TURNS ? [] : replaysOf(pool, dataset, own, classifier, seeds);
  });
  return { figures: figuresOf(replays), targets: targetsOf(replays), notes: [table(replays)], replays };
}

function replaysOf(
  pool: string,
  dataset: Dataset,
  asked: readonly Asked[],
  classifier: LexicalClassifier,
  seeds: number,
): Replay[] {
  const prompts = asked.map((one) => priced(one, dataset));
  const means = dataset.models.map((_, model) => sum(prompts.map(({ costs }) => costs[model] as number)) / prompts.length);
  const unit = Math.max(...means);
  const orders = Array.from({ length: seeds }, (_, seed) => {
    const order = shuffle(
      Int32Array.from(prompts, (_prompt, index) => index),
      seeded(seed + 1),
    );
    const shuffled = [...order].map((index) => prompts[index] as Priced);
    const [known, rest] = [shuffled.slice(0, WARM_PROMPTS), shuffled.slice(WARM_PROMPTS)];
    return { seed: seed + 1, all: shuffled, known, rest, heads: learnModels(dataset.models, known.map(scored), classifier) };
  });
  return COST_WEIGHTS.flatMap((costWeight) => {
    const arms = dataset.models.map((model) => ({ model, tier: TIER }));
    const turnWith = turnsAt(costWeight / unit);
    const cold = orders.map(({ seed, all }) => {
      const turns = all.map((one) => turnWith(one, fromWeights(dataset, classifier, one)));
      return raced(turns, coldPlayers(arms), seed);
    });
    const warm = orders.map(({ seed, known, rest, heads }) => {
      const expect = ({ classification, chars }: Priced): Expected => ({
        quality: heads.quality(classification) as number[],
        usd: heads.costUsd(classification, chars) as number[],
      });
      const turns = rest.map((one) => turnWith(one, expect(one)));
      const players = warmPlayers(
        arms,
        known.map((one) => turnWith(one, expect(one))),
      );
      return raced(turns, players, seed);
    });
    return [summary(pool, 'cold', costWeight, cold), summary(pool, 'warm', costWeight, warm)];
  });
}

interface Priced {
  readonly classification: Asked['classification'];
  readonly subject: string;
  readonly chars: number;
  readonly scores: readonly number[];
  readonly costs: readonly number[];
}

/** Costs as measured; where a data set has only prices, for the tokens that the classifier expects. */
function priced({ row, classification }: Asked, { models, prices }: Dataset): Priced {
  const estimate = (model: string): number => {
    const [input, output] = prices?.[model] ?? [0, 0];
    return ((row.prompt.length / 4) * input + classification.expectedOutputTokens * output) / 1e6;
  };
  const { subject, score: scores, cost } = row;
  return { classification, subject, chars: row.prompt.length, scores, costs: cost ?? models.map(estimate) };
}

function scored({ classification, chars, scores, costs }: Priced) {
  return { classification, promptChars: chars, scores, costs };
}

interface Expected {
  readonly quality: readonly number[];
  readonly usd: readonly number[];
}

function fromWeights({ models }: Dataset, classifier: LexicalClassifier, { classification, chars, costs }: Priced): Expected {
  return {
    quality: models.map((model) => classifier.quality(classification, model) ?? 0.5),
    usd: models.map((model, index) => classifier.costUsd(classification, model, chars) ?? (costs[index] as number)),
  };
}

/** @param perUsd what a dollar takes off the score */
function turnsAt(perUsd: number): (prompt: Priced, expected: Expected) => Turn {
  return ({ classification, subject, scores, costs }, { quality, usd }) => ({
    context: classification,
    domain: subject,
    priors: quality,
    scores,
    charges: usd.map((cost) => perUsd * cost),
    worth: scores.map((score, model) => score - perUsd * (costs[model] as number)),
  });
}

type Players = Partial<Record<PlayerName, Player>>;

function coldPlayers(arms: readonly Arm[]): Players {
  return { bandit: contextual(arms, DEFAULT_POLICY.exploration), contextFree: contextFree(arms), priorOnly: priorOnly() };
}

function warmPlayers(arms: readonly Arm[], known: readonly Turn[]): Players {
  const bandit = new Bandit();
  const yardstick = contextFree(arms);
  for (const turn of known) {
    for (const arm of arms.keys()) {
      teach(bandit, arms, turn, arm, Date.UTC(2026, 0, 1));
      yardstick.learn(turn, arm, 0);
    }
  }
  return {
    bandit: contextual(arms, DEFAULT_POLICY.exploration, bandit),
    contextFree: yardstick,
    priorOnly: priorOnly(),
    contextFreeCold: contextFree(arms),
  };
}

interface Raced {
  readonly turns: number;
  readonly regrets: Partial<Record<PlayerName, number>>;
  readonly curves: Partial<Record<PlayerName, readonly number[]>>;
  readonly converged: number;
  readonly convergedBySubject: number;
}

function raced(turns: readonly Turn[], players: Players, seed: number): Raced {
  const fixed = bestFixed(turns);
  const runs = Object.entries(players).map(([name, player]) => [name, race(player, turns, seed)] as const);
  const of = <T>(make: (run: readonly number[]) => T) => Object.fromEntries(runs.map(([name, run]) => [name, make(run)]));
  const places = placesInDomain(turns);
  const later = (values: readonly number[]) => sum(values.filter((_, index) => (places[index] as number) >= LEARNING));
  const bandit = later(Object.fromEntries(runs).bandit as number[]);
  return {
    turns: turns.length,
    regrets: of((run) => sum(fixed) - sum(run)),
    curves: of((run) => regretCurve(fixed, run, POINTS)),
    converged: bandit / later(bestByGroup(turns, ({ context }) => context.domain)),
    convergedBySubject: bandit / later(bestByGroup(turns, ({ domain }) => domain)),
  };
}

function summary(pool: string, start: Replay['start'], costWeight: number, runs: readonly Raced[]): Replay {
  const first = runs[0] as Raced;
  const names = Object.keys(first.regrets) as PlayerName[];
  const of = <T>(make: (name: PlayerName) => T) => Object.fromEntries(names.map((name) => [name, make(name)]));
  return {
    pool,
    start,
    costWeight,
    turns: first.turns,
    regrets: of((name) => spreadOf(runs.map(({ regrets }) => regrets[name] as number))),
    curves: of((name) => spreadOfCurves(runs.map(({ curves }) => curves[name] as number[]))),
    converged: spreadOf(runs.map(({ converged }) => converged)),
    convergedBySubject: spreadOf(runs.map(({ convergedBySubject }) => convergedBySubject)),
  };
}

function nameOf({ pool, start, costWeight }: Replay): string {
  return `${start}_${pool}_cost_${costWeight}`;
}

function figuresOf(replays: readonly Replay[]): Record<string, number> {
  return Object.fromEntries(
    replays.flatMap((replay) => {
      const name = nameOf(replay);
      const { bandit, contextFree: free, priorOnly: prior } = replay.regrets as Record<PlayerName, Spread>;
      return [
        [`regret_${name}`, bandit.median],
        [`regret_${name}_least`, bandit.least],
        [`regret_${name}_most`, bandit.most],
        [`regret_context_free_${name}`, free.median],
        [`regret_above_context_free_${name}`, bandit.median - free.median],
        [`regret_prior_only_${name}`, prior.median],
        ...(replay.start === 'cold'
          ? [
              [`converged_${name}`, replay.converged.median],
              [`converged_${name}_least`, replay.converged.least],
              [`converged_by_subject_${name}`, replay.convergedBySubject.median],
            ]
          : []),
      ];
    }),
  );
}

/** Cold: within 5 % of the best policy, and no static choice better. Warm: no worse than without contexts. */
function targetsOf(replays: readonly Replay[]): Target[] {
  return replays.flatMap((replay): Target[] => {
    const name = nameOf(replay);
    if (replay.start === 'warm') return [{ figure: `regret_above_context_free_${name}`, most: 0, unit: 'rewards' }];
    return [
      { figure: `converged_${name}`, least: 0.95, unit: 'of the best policy' },
      ...(replay.costWeight > 0 ? [{ figure: `regret_${name}`, most: 0, unit: 'rewards' }] : []),
    ];
  });
}

function table(replays: readonly Replay[]): string {
  const shown = (spread: Spread | undefined) =>
    spread ? `${spread.median.toFixed(1)} (${spread.least.toFixed(1)} to ${spread.most.toFixed(1)})` : '-';
  const header = ['data set', 'start', 'cost weight', 'turns', 'bandit', 'context-free', 'context-free cold', 'prior only'];
  const rows = replays.map(({ pool, start, costWeight, turns, regrets }) => [
    pool,
    start,
    String(costWeight),
    String(turns),
    ...(['bandit', 'contextFree', 'contextFreeCold', 'priorOnly'] as const).map((name) => shown(regrets[name])),
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] as string).length)));
  const lines = [header, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  );
  return ['Regret against the best fixed model in hindsight, median over the orders (least to most)', '', ...lines].join('\n');
}
