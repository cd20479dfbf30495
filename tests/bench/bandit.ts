/**
 * How fast the bandit learns, and what it loses on the way: on a fleet that changes midway, and on replays of data sets
 * with every model's score on every prompt. With `--svg DIR` the regret curves are drawn.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bandit } from '../../router/select/bandit/bandit.ts';
import { DEFAULT_POLICY } from '../../router/select/policy.ts';
import { seeded } from '../../router/select/random.ts';
import { readDatasets, readRows } from '../../router/train/data.ts';
import type { Player, Turn } from './bandit/players.ts';
import { contextFree, contextual, priorOnly, teach } from './bandit/players.ts';
import type { Spread } from './bandit/race.ts';
import { bestFixed, placesInDomain, race, regretCurve, spreadOf, spreadOfCurves, sum } from './bandit/race.ts';
import { ARMS, simulate } from './bandit/simulation.ts';
import type { Report, Target } from './report.ts';
import type { PlayerName, Replay } from './routing/bandit.ts';
import { banditFigures } from './routing/bandit.ts';
import { gather, Trials } from './routing/trials.ts';
import type { Line } from './support/svg.ts';
import { lineChart } from './support/svg.ts';

const OPTIONS = {
  /** Without it only the simulation runs. */
  data: { type: 'string' },
  svg: { type: 'string' },
  seeds: { type: 'string', default: '7' },
  turns: { type: 'string', default: '6000' },
} as const;

const COST_WEIGHTS = [0.1, 0.3, 0.6];
/** Requests of a domain that are for learning, and as many after them that are looked at. */
const LEARNING = 100;
const POINTS = 120;
/** Drawn: a data set, and the weight of cost. */
const PICTURES: readonly (readonly [pool: string, costWeight: number])[] = [
  ['routellm_mmlu', 0],
  ['mmlu_pro', 0],
  ['routerbench_zs', 0.3],
];

export async function bandit(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const [seeds, turns] = [Number(values.seeds), Number(values.turns)];
  const simulated = COST_WEIGHTS.map((costWeight) => simulation(costWeight, turns, seeds));
  const trials =
    values.data === undefined
      ? undefined
      : new Trials(gather(readDatasets(values.data), readRows(values.data)), 1, (text) => console.error(text));
  const replayed = trials && banditFigures(trials, seeds);
  if (values.svg !== undefined) draw(values.svg, simulated, replayed?.replays ?? [], turns);
  return {
    name: 'bandit',
    figures: Object.assign({}, ...simulated.map(({ figures }) => figures), replayed?.figures, times()),
    targets: [
      ...simulated.flatMap(({ targets }) => targets),
      ...(replayed?.targets ?? []),
      { figure: 'belief_us', most: 1, unit: 'us' },
    ],
    notes: [
      'Medians over the seeds. Draws are those of router/select/random.ts from normal beliefs, one choice in ten may explore ' +
        '(the default policy); the best policy of the simulation knows every chance at every moment.',
      ...(replayed?.notes ?? ['Replays were left out: say where the scored prompts are with --data DIR.']),
    ],
  };
}

const PLAYERS: Readonly<Record<Exclude<PlayerName, 'contextFreeCold'>, () => Player>> = {
  bandit: () => contextual(ARMS, DEFAULT_POLICY.exploration),
  contextFree: () => contextFree(ARMS),
  priorOnly: () => priorOnly(),
};

interface Simulated {
  readonly costWeight: number;
  readonly figures: Record<string, number>;
  readonly targets: readonly Target[];
  /** Regret against the best policy. */
  readonly curves: Readonly<Record<string, readonly Spread[]>>;
}

function simulation(costWeight: number, count: number, seeds: number): Simulated {
  const runs = Array.from({ length: seeds }, (_, seed) => {
    const turns = simulate(count, costWeight, seeded(seed + 1));
    const best = turns.map(({ worth }) => Math.max(...worth));
    const fixed = bestFixed(turns);
    const raced = Object.entries(PLAYERS).map(([name, make]) => [name, race(make(), turns, seed + 1)] as const);
    const own = Object.fromEntries(raced).bandit as number[];
    return {
      curves: [...raced, ['fixed', fixed] as const].map(([name, run]) => [name, regretCurve(best, run, POINTS)] as const),
      regrets: raced.map(([name, run]) => [name, sum(fixed) - sum(run)] as const),
      converged: convergedIn(turns.slice(0, count / 2), own.slice(0, count / 2), best),
      convergedAgain: convergedIn(turns.slice(count / 2), own.slice(count / 2), best.slice(count / 2)),
    };
  });
  const name = `simulation_cost_${costWeight}`;
  const [before, after] = [spreadOf(runs.map((run) => run.converged)), spreadOf(runs.map((run) => run.convergedAgain))];
  const regretOf = (player: string) => spreadOf(runs.map(({ regrets }) => Object.fromEntries(regrets)[player] as number));
  const own = regretOf('bandit');
  const players = [...Object.keys(PLAYERS), 'fixed'];
  return {
    costWeight,
    figures: {
      [`converged_${name}`]: before.median,
      [`converged_${name}_least`]: before.least,
      [`converged_after_change_${name}`]: after.median,
      [`converged_after_change_${name}_least`]: after.least,
      [`regret_${name}`]: own.median,
      [`regret_${name}_most`]: own.most,
      [`regret_context_free_${name}`]: regretOf('contextFree').median,
      [`regret_prior_only_${name}`]: regretOf('priorOnly').median,
    },
    targets: [
      { figure: `converged_${name}`, least: 0.95, unit: 'of the best policy' },
      { figure: `converged_after_change_${name}`, least: 0.95, unit: 'of the best policy' },
      { figure: `regret_${name}`, most: 0, unit: 'rewards' },
    ],
    curves: Object.fromEntries(
      players.map((player) => [player, spreadOfCurves(runs.map(({ curves }) => Object.fromEntries(curves)[player] as number[]))]),
    ),
  };
}

/** Share of the best policy's reward, over the 101st to 200th request of each domain. */
function convergedIn(turns: readonly Turn[], run: readonly number[], best: readonly number[]): number {
  const places = placesInDomain(turns);
  const looked = (values: readonly number[]) =>
    sum(values.filter((_, index) => (places[index] as number) >= LEARNING && (places[index] as number) < 2 * LEARNING));
  return looked(run) / looked(best.slice(0, run.length));
}

/** Microseconds for a belief and a lesson, with some thousand rewards learnt. */
function times(): Record<string, number> {
  const turns = simulate(6000, 0.3, seeded(1));
  const learner = new Bandit();
  const at = Date.UTC(2026, 0, 1);
  const each = (rounds: number, run: (turn: Turn, arm: number, index: number) => void) => {
    const startedAt = performance.now();
    for (let i = 0; i < rounds; i++) run(turns[i % turns.length] as Turn, i % ARMS.length, i);
    return (1000 * (performance.now() - startedAt)) / rounds;
  };
  const learn = (turn: Turn, arm: number, index: number) => teach(learner, ARMS, turn, arm, at + index);
  const believe = ({ context, priors }: Turn, arm: number, index: number) => {
    learner.belief(ARMS[arm] as (typeof ARMS)[number], context, priors[arm] as number, at + index);
  };
  each(20_000, learn);
  each(200_000, believe);
  return { learn_us: each(200_000, learn), belief_us: each(1_000_000, believe) };
}

const LABELS: Readonly<Record<string, string>> = {
  bandit: 'bandit',
  contextFree: 'without contexts',
  fixed: 'best fixed model',
  priorOnly: 'classifier only',
};

function draw(folder: string, simulated: readonly Simulated[], replays: readonly Replay[], turns: number): void {
  mkdirSync(folder, { recursive: true });
  for (const { costWeight, curves } of simulated.filter((one) => one.costWeight === 0.3)) {
    const svg = lineChart({
      title: `Regret on a fleet that changes midway (cost weight ${costWeight})`,
      xLabel: 'requests',
      yLabel: 'rewards behind the best policy',
      xMost: turns,
      lines: linesOf(curves),
      mark: { x: turns / 2, label: 'models change' },
    });
    writeFileSync(join(folder, 'regret-simulation.svg'), svg);
  }
  for (const [pool, costWeight] of PICTURES) {
    const replay = replays.find((one) => one.pool === pool && one.start === 'warm' && one.costWeight === costWeight);
    if (!replay) continue;
    const svg = lineChart({
      title: `Regret on ${pool}, 300 warm prompts, cost weight ${costWeight}`,
      xLabel: 'requests',
      yLabel: 'rewards behind the best fixed model',
      xMost: replay.turns,
      lines: linesOf(replay.curves),
    });
    writeFileSync(join(folder, `regret-${pool.replaceAll('_', '-')}.svg`), svg);
  }
}

function linesOf(curves: Readonly<Partial<Record<string, readonly Spread[]>>>): Line[] {
  return Object.entries(LABELS).flatMap(([player, name]) => {
    const curve = curves[player];
    if (!curve) return [];
    return [{ name, values: curve.map(({ median }) => median), band: curve.map(({ least, most }) => [least, most] as const) }];
  });
}
