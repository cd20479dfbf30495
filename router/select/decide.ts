/**
 * Candidates -> permits -> estimates and objectives -> limits -> suitability -> places -> the nearest to the ideal, and
 * the reasons for it. Pure; the same candidates in any order, ask and knowledge give the same decision.
 *
 * Who only lacks a slot takes part with the wait that is expected: if one of those is the nearest, the request had
 * better wait for it, and `awaited` says so. So does, where nobody is free, a model that would first have to be loaded.
 */
import type { Ask, Candidate, Considered, Decision, Estimate, Exclusion, Knowledge, Standing } from './candidate.ts';
import type { Judged } from './choice.ts';
import { amongEquals } from './equals.ts';
import { estimate, outstandingTokens, overloaded } from './estimate.ts';
import { LIMITS, PERMITS, PLACES, PLACES_AT_NEED, RuledOut, ruledOut, smallerRule, suitabilityRule } from './filters.ts';
import type { ModelView } from './objectives.ts';
import { judge, viewOf } from './objectives.ts';
import type { Choice } from './pick.ts';
import { choose } from './pick.ts';
import { normalised } from './policy.ts';
import { reasonOf } from './reason.ts';
import { suitability } from './suitability.ts';

/** What candidates with one model have in common. */
interface Kind {
  readonly model: Candidate['model'];
  /** Outstanding on all the nodes that may serve it. */
  tokens: number;
  nodes: number;
  /** When one that is free would be done, and one that is in memory, free or not; infinite while none is. */
  soonestMs: number;
  residentMs: number;
  view: ModelView | undefined;
}

const NOT_ESTIMATED: Estimate = { waitMs: 0, firstTokenMs: 0, totalMs: 0, soonestMs: 0, engineMs: 0 };

/** A candidate on its way through the stages, which fill it in. */
class Look implements Considered {
  readonly candidate: Candidate;
  readonly session: boolean;
  kind: Kind | undefined;
  estimate = NOT_ESTIMATED;
  exclusion: Exclusion | undefined;
  judged: Judged | undefined;
  cachedTokens = 0;
  overloaded = false;
  /** Its place among those chosen from. */
  index = -1;
  choice: Choice | undefined;
  #standing: Standing | undefined;

  constructor(candidate: Candidate, session: boolean) {
    this.candidate = candidate;
    this.session = session;
  }

  /** Few are ever asked for theirs. */
  get standing(): Standing | undefined {
    const { choice, index, candidate } = this;
    if (!choice) return undefined;
    this.#standing ??= {
      onFront: choice.onFront(index),
      distance: choice.distances[index] as number,
      drawn: choice.drawn[index] as number,
      propensity: choice.propensities.get(candidate.model.name) ?? 0,
    };
    return this.#standing;
  }
}

export function decide(candidates: readonly Candidate[], ask: Ask, knowledge: Knowledge): Decision {
  const looks = lookAtAll(candidates, ask);
  for (const look of looks) if (!look.exclusion) judgeOne(look, ask, knowledge);
  if (ask.target.type === 'auto') keepSuited(looks, ask);
  for (const look of looks) look.exclusion ??= ruledOut(PLACES, look, ask);
  spareMemory(looks, ask);
  const open = worthChoosing(looks);
  return decisionOf(looks, open, chooseAmong(open, ask), ask);
}

/** Whether it can serve, at once or after a wait. */
export function couldServe({ exclusion }: Pick<Considered, 'exclusion'>): boolean {
  return exclusion === undefined || exclusion.busy;
}

/** Those that may serve, with the load of their model's nodes; the others with the rule that keeps them out. */
function lookAtAll(candidates: readonly Candidate[], ask: Ask): Look[] {
  const { session } = ask;
  const kinds = new Map<string, Kind>();
  return candidates.map((candidate) => {
    const { model, node } = candidate;
    const look = new Look(candidate, session !== undefined && session.node === node && session.model === model.name);
    look.exclusion = ruledOut(PERMITS, look, ask);
    if (look.exclusion) look.estimate = estimate(candidate, ask);
    else {
      look.kind = kindOf(model, kinds);
      look.kind.tokens += outstandingTokens(candidate);
      look.kind.nodes++;
    }
    return look;
  });
}

/** One for each name; one more for each that says something else of itself under the same name. */
function kindOf(model: Candidate['model'], kinds: Map<string, Kind>): Kind {
  const known = kinds.get(model.name);
  if (known && isLike(known.model, model)) return known;
  const key = known ? `${model.name} ${model.tier} ${model.tasks}` : model.name;
  const never = Number.POSITIVE_INFINITY;
  const fresh: Kind = { model, tokens: 0, nodes: 0, soonestMs: never, residentMs: never, view: undefined };
  const kind = (known && kinds.get(key)) ?? fresh;
  kinds.set(key, kind);
  return kind;
}

function isLike(a: Candidate['model'], b: Candidate['model']): boolean {
  return a === b || (a.tier === b.tier && a.tasks.length === b.tasks.length && a.tasks.every((task, i) => task === b.tasks[i]));
}

/** With what is in its KV cache, unless it is far busier than the others with its model. */
function judgeOne(look: Look, ask: Ask, knowledge: Knowledge): void {
  const { candidate } = look;
  const kind = look.kind as Kind;
  look.overloaded = overloaded(outstandingTokens(candidate), kind.tokens / kind.nodes, ask);
  if (!look.overloaded && !candidate.cold) look.cachedTokens = creditOf(candidate, ask);
  look.estimate = estimate(candidate, ask, look.cachedTokens);
  kind.view ??= viewOf(kind.model, ask, knowledge);
  look.judged = judge(candidate, look.estimate, kind.view, ask);
  look.exclusion = ruledOut(LIMITS, look, ask);
}

/** The engine reads at least one token of each prompt. */
function creditOf({ node, model }: Candidate, { cachedTokens, promptTokens }: Ask): number {
  return Math.max(0, Math.min(cachedTokens(node, model.name), promptTokens - 1));
}

/** Left out for now only; while one of these is suited, nobody unsuited takes its place. */
const PASSING: ReadonlySet<string> = new Set(['breaker', 'rest', 'tried', 'crowded', 'slot']);

/**
 * While a model that can do the task could answer, those that cannot are out: a chat question waits for one that can
 * chat rather than going to one that writes stories. A suited model that is away for a moment, has failed once or is
 * crowded counts too, so that the request is refused as retryable rather than answered badly. With nothing suited at
 * hand anyone may try, also while a suited model loads for the first time.
 */
function keepSuited(looks: readonly Look[], ask: Ask): void {
  const { task } = ask.classification;
  const suited = ({ candidate }: Look) => suitability(candidate.model.tasks, task) !== 'unsuited';
  const counts = ({ exclusion, candidate }: Look) =>
    exclusion === undefined || PASSING.has(exclusion.filter) || (exclusion.filter === 'state' && candidate.returning);
  if (!looks.some((look) => counts(look) && suited(look))) return;
  for (const look of looks) if (!look.exclusion && !suited(look)) look.exclusion = new RuledOut(suitabilityRule, look, ask);
}

/**
 * A node that is short of memory gets what nobody else can take. Where only its larger models are to be spared, they give
 * way to a smaller one there.
 */
function spareMemory(looks: readonly Look[], ask: Ask): void {
  if (!looks.some(({ candidate }) => candidate.short)) return;
  if (!looks.some(couldServe)) {
    for (const look of looks) if (look.exclusion?.filter === 'memory') look.exclusion = ruledOut(PLACES_AT_NEED, look, ask);
  }
  if (ask.target.type !== 'auto') return;
  const smallest = new Map<string, number>();
  const shorts = looks.filter((look) => look.candidate.short && !look.candidate.cold && couldServe(look));
  for (const { candidate } of shorts) {
    const { node, model } = candidate;
    smallest.set(node, Math.min(smallest.get(node) ?? Number.POSITIVE_INFINITY, model.tier));
  }
  for (const look of shorts) {
    const { node, model } = look.candidate;
    if (model.tier > (smallest.get(node) as number)) look.exclusion = new RuledOut(smallerRule, look, ask);
  }
}

/**
 * A wait for a node is worth it, with a free one of its model at hand, if the answer is there in half the time; and so is
 * loading a model that is in memory elsewhere.
 */
const WORTH_WAITING = 0.5;

/**
 * Those that could serve, at once or after a wait that is worth it. How busy a node will be is guesswork beside a slot
 * that is free now; between models the objectives tell. Nothing is loaded while any that is in memory is free.
 */
function worthChoosing(looks: readonly Look[]): readonly Look[] {
  let anyFree = false;
  for (const look of looks) {
    const { exclusion, estimate, kind, candidate } = look;
    if (!couldServe(look) || candidate.cold || !kind) continue;
    kind.residentMs = Math.min(kind.residentMs, estimate.totalMs);
    if (exclusion) continue;
    anyFree = true;
    kind.soonestMs = Math.min(kind.soonestMs, estimate.totalMs);
  }
  const open: Look[] = [];
  for (const look of looks) if (couldServe(look) && !isNeedless(look, anyFree)) look.index = open.push(look) - 1;
  return open;
}

function isNeedless({ exclusion, estimate, kind, candidate }: Look, anyFree: boolean): boolean {
  if (!exclusion) return false;
  const { soonestMs, residentMs } = kind as Kind;
  if (candidate.cold) return anyFree || estimate.totalMs > WORTH_WAITING * residentMs;
  return estimate.totalMs > WORTH_WAITING * soonestMs;
}

function chooseAmong(open: readonly Look[], ask: Ask): Choice {
  const { policy, seed, mayExplore, session } = ask;
  return choose(
    open.map(({ judged }) => judged as Judged),
    {
      preference: policy.preference,
      explore: mayExplore && policy.exploration > 0,
      seed,
      stayWith: session?.model,
      switchMargin: policy.switchMargin,
      amongEquals: (equals) => {
        const looks = equals.map((index) => {
          const { candidate, session, overloaded } = open[index] as Look;
          return { candidate, home: session && !overloaded };
        });
        return equals[amongEquals(looks, seed)] as number;
      },
    },
  );
}

function decisionOf(looks: readonly Look[], open: readonly Look[], choice: Choice, ask: Ask): Decision {
  for (const look of open) look.choice = choice;
  const best = open[choice.index];
  const preference = normalised(ask.policy.preference);
  return {
    chosen: best?.exclusion ? undefined : best,
    awaited: best?.exclusion ? best : undefined,
    considered: looks,
    classification: ask.classification,
    policy: ask.policy.name,
    preference,
    propensities: choice.propensities,
    explored: choice.explored,
    reason: reasonOf(looks, best, { preference, points: choice.front.length, explored: choice.explored }),
  };
}
