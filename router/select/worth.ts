/** Which of those that could serve are worth choosing from: whose memory is spared, and what is not waited for. Pure. */
import type { Ask, Considered } from './candidate.ts';
import { PLACES_AT_NEED, smallerRule } from './filters.ts';
import type { Kind, Look } from './look.ts';
import { RuledOut, ruledOut } from './rule.ts';

/** Whether it can serve, at once or after a wait. */
export function couldServe({ exclusion }: Pick<Considered, 'exclusion'>): boolean {
  return exclusion === undefined || exclusion.busy;
}

/**
 * A node that is short of memory gets what nobody else can take. Where only its larger models are to be spared, they give
 * way to a smaller one there.
 */
export function spareMemory(looks: readonly Look[], ask: Ask): void {
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
export function worthChoosing(looks: readonly Look[]): readonly Look[] {
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
