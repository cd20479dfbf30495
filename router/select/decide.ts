/**
 * Candidates -> permits -> estimates and objectives -> limits -> suitability -> places -> the nearest to the ideal, and
 * the reasons for it. Pure; the same candidates in any order, ask and knowledge give the same decision.
 *
 * Who only lacks a slot takes part with the wait that is expected: if one of those is the nearest, the request had
 * better wait for it, and `awaited` says so. So does, where nobody is free, a model that would first have to be loaded.
 */
import type { Ask, Candidate, Decision, Knowledge } from './candidate.ts';
import type { Judged } from './choice.ts';
import { amongEquals } from './equals.ts';
import { estimate, outstandingTokens, overloaded } from './estimate.ts';
import { LIMITS, PERMITS, PLACES, suitabilityRule } from './filters.ts';
import type { Kind } from './look.ts';
import { kindOf, Look } from './look.ts';
import { judge, viewOf } from './objectives.ts';
import type { Choice } from './pick.ts';
import { choose } from './pick.ts';
import { normalised } from './policy.ts';
import { reasonOf } from './reason.ts';
import { RuledOut, ruledOut } from './rule.ts';
import { suitability } from './suitability.ts';
import { spareMemory, worthChoosing } from './worth.ts';

export function decide(candidates: readonly Candidate[], ask: Ask, knowledge: Knowledge): Decision {
  const looks = lookAtAll(candidates, ask);
  for (const look of looks) if (!look.exclusion) judgeOne(look, ask, knowledge);
  if (ask.target.type === 'auto') keepSuited(looks, ask);
  for (const look of looks) look.exclusion ??= ruledOut(PLACES, look, ask);
  spareMemory(looks, ask);
  const open = worthChoosing(looks);
  return decisionOf(looks, open, chooseAmong(open, ask), ask);
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
const PASSING: ReadonlySet<string> = new Set(['breaker', 'rest', 'short_rest', 'tried', 'crowded', 'slot']);

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
