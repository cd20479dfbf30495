/**
 * Candidates -> permits -> estimates and objectives -> limits -> suitability -> places -> the nearest to the ideal, and
 * the reasons for it. Pure; the same candidates in any order, ask and knowledge give the same decision.
 *
 * Who only lacks a slot takes part with the wait that is expected: if one of those is the nearest, the request had
 * better wait for it, and `awaited` says so.
 */
import type { Ask, Candidate, Considered, Decision, Estimate, Exclusion, Knowledge, Standing } from './candidate.ts';
import type { Judged } from './choice.ts';
import { amongEquals } from './equals.ts';
import { estimate, outstandingTokens, overloaded } from './estimate.ts';
import { LIMITS, PERMITS, PLACES, RuledOut, ruledOut, suitabilityRule } from './filters.ts';
import type { ModelView } from './objectives.ts';
import { judge, viewOf } from './objectives.ts';
import type { Choice } from './pick.ts';
import { choose } from './pick.ts';
import { normalised } from './policy.ts';
import { reasonOf } from './reason.ts';
import { suitability } from './suitability.ts';

/** A candidate on its way through the stages, which fill it in. */
interface Look {
  readonly candidate: Candidate;
  estimate: Estimate;
  exclusion: Exclusion | undefined;
  judged: Judged | undefined;
  standing: Standing | undefined;
  cachedTokens: number;
  readonly session: boolean;
  overloaded: boolean;
}

const NOT_ESTIMATED: Estimate = { waitMs: 0, firstTokenMs: 0, totalMs: 0, soonestMs: 0, engineMs: 0 };

export function decide(candidates: readonly Candidate[], ask: Ask, knowledge: Knowledge): Decision {
  const looks = candidates.map((candidate) => lookAt(candidate, ask));
  estimateAll(looks, ask);
  judgeAll(looks, ask, knowledge);
  if (ask.target.type === 'auto') keepSuited(looks, ask);
  for (const look of looks) look.exclusion ??= ruledOut(PLACES, look, ask);
  const open = looks.filter(couldServe);
  const choice = chooseAmong(open, ask);
  return decisionOf(looks, open, choice, ask);
}

/** Whether it can serve, at once or after a wait. */
export function couldServe({ exclusion }: Pick<Considered, 'exclusion'>): boolean {
  return exclusion === undefined || exclusion.busy;
}

function lookAt(candidate: Candidate, ask: Ask): Look {
  const { session } = ask;
  const look: Look = {
    candidate,
    estimate: NOT_ESTIMATED,
    exclusion: undefined,
    judged: undefined,
    standing: undefined,
    cachedTokens: 0,
    session: session !== undefined && session.node === candidate.node && session.model === candidate.model.name,
    overloaded: false,
  };
  look.exclusion = ruledOut(PERMITS, look, ask);
  return look;
}

/** With what is in the KV cache, where the node is not far busier than the others with its model. */
function estimateAll(looks: readonly Look[], ask: Ask): void {
  const loads = new Map<string, { tokens: number; nodes: number }>();
  for (const { candidate, exclusion } of looks) {
    if (exclusion) continue;
    const load = loads.get(candidate.model.name);
    if (load) {
      load.tokens += outstandingTokens(candidate);
      load.nodes++;
    } else loads.set(candidate.model.name, { tokens: outstandingTokens(candidate), nodes: 1 });
  }
  for (const look of looks) {
    const { candidate } = look;
    const load = look.exclusion ? undefined : loads.get(candidate.model.name);
    if (load) {
      look.overloaded = overloaded(outstandingTokens(candidate), load.tokens / load.nodes, ask);
      look.cachedTokens = look.overloaded ? 0 : creditOf(candidate, ask);
    }
    look.estimate = estimate(candidate, ask, look.cachedTokens);
  }
}

/** The engine reads at least one token of each prompt. */
function creditOf({ node, model }: Candidate, { cachedTokens, promptTokens }: Ask): number {
  return Math.max(0, Math.min(cachedTokens(node, model.name), promptTokens - 1));
}

function judgeAll(looks: readonly Look[], ask: Ask, knowledge: Knowledge): void {
  const views = new Map<string, { readonly of: Candidate['model']; readonly view: ModelView }>();
  for (const look of looks) {
    if (look.exclusion) continue;
    const { model } = look.candidate;
    let known = views.get(model.name);
    if (known === undefined || !sameKind(known.of, model)) {
      known = { of: model, view: viewOf(model, ask, knowledge) };
      views.set(model.name, known);
    }
    look.judged = judge(look.candidate, look.estimate, known.view, ask);
    look.exclusion = ruledOut(LIMITS, look, ask);
  }
}

/** Whether the same is expected of both, as nodes say. */
function sameKind(a: Candidate['model'], b: Candidate['model']): boolean {
  return a === b || (a.tier === b.tier && a.tasks.length === b.tasks.length && a.tasks.every((task, i) => task === b.tasks[i]));
}

/** Left out for now only; while one of these is suited, nobody unsuited takes its place. */
const PASSING: ReadonlySet<string> = new Set(['tried', 'crowded', 'slot']);

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
  open.forEach((look, index) => {
    look.standing = {
      onFront: choice.onFront(index),
      distance: choice.distances[index] as number,
      drawn: choice.drawn[index] as number,
      propensity: choice.propensities.get(look.candidate.model.name) ?? 0,
    };
  });
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
