/** Candidates -> filters -> estimate -> pick, and the reasons for it. Pure. */
import type { Ask, Candidate, Considered, Decision } from './candidate.ts';
import { estimate } from './estimate.ts';
import { exclusionOf } from './filters.ts';
import type { Suitability } from './suitability.ts';
import { best, suitability } from './suitability.ts';

export function decide(candidates: readonly Candidate[], ask: Ask): Decision {
  const filtered = candidates.map((candidate): Considered => {
    const expected = estimate(candidate, ask);
    return { candidate, estimate: expected, exclusion: exclusionOf(candidate, ask, expected) };
  });
  const suited = ask.target.type === 'auto' ? keepSuited(filtered, ask) : filtered;
  const considered = suited.toSorted(byPromise);
  const [first] = considered;
  const chosen = first && !first.exclusion ? first : undefined;
  return { chosen, considered, task: ask.task, reason: chosen ? reasonFor(chosen, considered, ask) : refusal(considered) };
}

/**
 * Of the models that could answer, now or once a slot is free, only the best suited stay: a chat question waits for the
 * model that can chat rather than going to one that writes stories. A suited model that is away for a moment counts
 * too, so that the request is refused as retryable rather than answered badly. With nothing suited at hand anyone may
 * try, also while a suited model loads for the first time.
 */
function keepSuited(all: readonly Considered[], ask: Ask): readonly Considered[] {
  const of = ({ candidate }: Considered): Suitability => suitability(candidate.model.tasks, ask.task);
  const wanted = best(all.filter((one) => couldServe(one) || couldServeSoon(one)).map(of));
  return all.map((one) =>
    one.exclusion && !one.exclusion.busy ? one : of(one) === wanted ? one : { ...one, exclusion: unsuited(ask.task) },
  );
}

function couldServeSoon({ candidate, exclusion }: Considered): boolean {
  return candidate.returning && exclusion?.filter === 'state';
}

function unsuited(task: string) {
  return { filter: 'suitability', reason: `another model is better suited to the task (${task})`, busy: false };
}

/** Whether it can serve, at once or after a wait. */
export function couldServe({ exclusion }: Considered): boolean {
  return exclusion === undefined || exclusion.busy;
}

function byPromise(a: Considered, b: Considered): number {
  return (
    rank(a) - rank(b) || a.estimate.totalMs - b.estimate.totalMs || a.candidate.running - b.candidate.running || byName(a, b)
  );
}

function rank({ exclusion }: Considered): number {
  return exclusion === undefined ? 0 : exclusion.busy ? 1 : 2;
}

function byName(a: Considered, b: Considered): number {
  return a.candidate.node < b.candidate.node ? -1 : 1;
}

function reasonFor({ candidate, estimate: expected }: Considered, all: readonly Considered[], { target, task }: Ask): string {
  const rivals = all.filter(({ exclusion }) => exclusion === undefined).length - 1;
  const why =
    target.type === 'auto'
      ? `${candidate.model.name} suits the task (${task})`
      : `${candidate.model.name} fits what was asked for`;
  const among = rivals === 0 ? 'the only candidate left' : `the least expected time of ${rivals + 1} candidates`;
  return `${why}; ${candidate.node} is ${among}, about ${Math.round(expected.totalMs)} ms`;
}

function refusal(all: readonly Considered[]): string {
  const [first] = all;
  if (!first) return 'no node serves any model';
  return first.exclusion?.busy ? 'all slots are taken' : (first.exclusion?.reason ?? 'nothing can serve');
}
