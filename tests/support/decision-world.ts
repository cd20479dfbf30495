/**
 * A made-up world in which decisions are logged: prompts of three kinds, three models on five nodes, answers whose true
 * quality is known here and only believed by the router. It chooses as the router does, so what another policy would
 * have got can be found out by letting it choose as well.
 */
import type { Complexity, Domain, Task } from '../../router/classify/classification.ts';
import type { DecisionEntry, LogEntry, LoggedCandidate } from '../../router/ledger/decision-entry.ts';
import { ExplorationBudget } from '../../router/ledger/exploration.ts';
import { choose } from '../../router/select/pick.ts';
import type { Policy } from '../../router/select/policy.ts';
import { DEFAULT_POLICY } from '../../router/select/policy.ts';
import { seeded } from './clock.ts';

interface Kind {
  readonly share: number;
  readonly complexity: Complexity;
  readonly domain: Domain;
  readonly task: Task;
  /** By model. */
  readonly truth: Readonly<Record<string, number>>;
}

const KINDS: readonly Kind[] = [
  kind(0.5, 'simple', 'general', 'chat', 0.82, 0.86, 0.88),
  kind(0.3, 'moderate', 'computing', 'code', 0.45, 0.68, 0.8),
  kind(0.2, 'complex', 'maths', 'reasoning', 0.15, 0.4, 0.7),
];

function kind(
  share: number,
  complexity: Complexity,
  domain: Domain,
  task: Task,
  ...truth: readonly [number, number, number]
): Kind {
  const [small, middle, large] = truth;
  return { share, complexity, domain, task, truth: { 'small-1b': small, 'middle-3b': middle, 'large-8b': large } };
}

interface Served {
  readonly node: string;
  readonly model: string;
  readonly tier: number;
  readonly zone: string;
  /** US dollars per million tokens of an answer; a quarter of it for the prompt's. */
  readonly price: number;
  readonly tokensPerSecond: number;
  /** What the router believes is off by this. */
  readonly bias: number;
}

const NODES: readonly Served[] = [
  { node: 'small-1', model: 'small-1b', tier: 1, zone: 'home', price: 0.1, tokensPerSecond: 90, bias: 0.02 },
  { node: 'small-2', model: 'small-1b', tier: 1, zone: 'away', price: 0.1, tokensPerSecond: 70, bias: 0.02 },
  { node: 'middle-1', model: 'middle-3b', tier: 2, zone: 'home', price: 0.3, tokensPerSecond: 45, bias: -0.03 },
  { node: 'large-1', model: 'large-8b', tier: 3, zone: 'home', price: 0.9, tokensPerSecond: 30, bias: -0.05 },
  { node: 'large-2', model: 'large-8b', tier: 3, zone: 'away', price: 0.9, tokensPerSecond: 25, bias: -0.05 },
];

export interface Play {
  readonly seed: number;
  readonly decisions: number;
  readonly policy?: Policy;
  readonly tenant?: string;
  /** Standard deviation of what is believed of a model's quality. */
  readonly unsure?: number;
  /** Share of the answers that are rated later; the rating is the true reward, what was credited before a guess at it. */
  readonly rated?: number;
}

/** The log that the policy leaves, in its order. */
export function play({ seed, decisions, policy = DEFAULT_POLICY, tenant, unsure = 0.12, rated = 0 }: Play): LogEntry[] {
  const random = seeded(seed);
  const budget = new ExplorationBudget();
  return Array.from({ length: decisions }, (_, i): LogEntry[] => {
    const at = Date.parse('2026-11-14T08:00:00Z') + 61_000 * i;
    const entry = decided({ random, policy, tenant, unsure, budget, at, request: `request-${seed}-${i + 1}` });
    const { reward, ...outcome } = entry.outcome;
    const model = entry.candidates[entry.chosen]?.model ?? '';
    if (random() >= rated || reward === undefined) return [entry];
    return [
      { ...entry, outcome: { ...outcome, reward: 0.5, rewardWeight: 0.1, rewardParts: { unremarked: 1 } } },
      {
        v: 1,
        type: 'feedback',
        at: new Date(at + 30_000).toISOString(),
        request: entry.request,
        ...(tenant === undefined ? {} : { tenant }),
        model,
        cause: 'rating',
        ...ratedBy(reward),
      },
    ];
  }).flat();
}

/** What the policy really gets in this world, in the mean of many decisions of its own. */
export function truthOf(policy: Policy, more: Partial<Play> = {}) {
  const entries = play({ seed: 987_654, decisions: 15_000, ...more, policy }).filter((entry) => entry.type === 'decision');
  const mean = (of: (entry: DecisionEntry) => number) => entries.reduce((sum, entry) => sum + of(entry), 0) / entries.length;
  return {
    costUsd: mean(({ outcome }) => outcome.costUsd),
    reward: mean(({ outcome }) => outcome.reward ?? 0),
    latencyMs: mean(({ outcome }) => outcome.latencyMs),
  };
}

interface Moment {
  readonly random: () => number;
  readonly policy: Policy;
  readonly tenant: string | undefined;
  readonly unsure: number;
  readonly budget: ExplorationBudget;
  readonly at: number;
  readonly request: string;
}

function decided({ random, policy, tenant, unsure, budget, at, request }: Moment): DecisionEntry {
  const { complexity, domain, task, truth } = kindAt(random());
  const promptTokens = Math.round(40 * Math.exp(3 * random()));
  const answerTokens = Math.round(60 * Math.exp(2 * random()));
  const candidates = NODES.map((served) =>
    candidateOf(served, truth, { promptTokens, answerTokens, busy: 1 + 2 * random() }, unsure),
  )
    .filter(({ model }) => !policy.deny.includes(model) && (policy.models.length === 0 || policy.models.includes(model)))
    .filter(({ zone = '' }) => policy.zones.length === 0 || policy.zones.includes(zone));
  const mayExplore = budget.may(tenant, policy.exploration);
  const { preference, switchMargin } = policy;
  const choice = choose(candidates, { preference, switchMargin, explore: mayExplore, seed: Math.floor(random() * 2 ** 32) });
  budget.spent(tenant, policy.exploration, choice.explored);
  const { model, costUsd, latencyMs, firstTokenMs } = candidates[choice.index] as LoggedCandidate;
  // What really happens is not what was expected: dearer by a fifth, slower by a tenth, and scattered.
  const tokens = Math.max(1, Math.round(answerTokens * (0.7 + random())));
  const scatter = 0.6 + 0.8 * random();
  return {
    v: 1,
    type: 'decision',
    at: new Date(at).toISOString(),
    request,
    ...(tenant === undefined ? {} : { tenant }),
    policy: policy.name,
    context: { domain, complexity, task, language: 'en' },
    preference,
    ownPreference: false,
    withoutExploration: false,
    mayExplore,
    switchMargin,
    candidates,
    chosen: choice.index,
    explored: choice.explored,
    propensity: choice.propensities.get(model) ?? 0,
    propensities: Object.fromEntries(choice.propensities),
    outcome: {
      finish: 'stop',
      ...ratedBy(Number(random() < (truth[model] ?? 0))),
      costUsd: costUsd * 1.2 * scatter,
      referenceUsd: 9 * costUsd,
      latencyMs: latencyMs * 1.1 * scatter,
      firstTokenMs: firstTokenMs * scatter,
      inputTokens: promptTokens,
      cachedInputTokens: 0,
      outputTokens: tokens,
    },
  };
}

function ratedBy(rating: number) {
  return { reward: rating, rewardWeight: 0.8, rewardParts: { rating } };
}

function kindAt(u: number): Kind {
  let left = u;
  for (const kind of KINDS) {
    if (left < kind.share) return kind;
    left -= kind.share;
  }
  return KINDS[0] as Kind;
}

interface Size {
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly busy: number;
}

function candidateOf(
  served: Served,
  truth: Kind['truth'],
  { promptTokens, answerTokens, busy }: Size,
  sd: number,
): LoggedCandidate {
  const { node, model, tier, zone, price, tokensPerSecond, bias } = served;
  const firstTokenMs = (1000 * promptTokens * busy) / (10 * tokensPerSecond);
  return {
    node,
    model,
    tier,
    zone,
    quality: { mean: (truth[model] ?? 0) + bias, sd },
    costUsd: (price * (promptTokens / 4 + answerTokens)) / 1e6,
    latencyMs: firstTokenMs + (1000 * answerTokens * busy) / tokensPerSecond,
    firstTokenMs,
    diversity: 0.5,
  };
}
