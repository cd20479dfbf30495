/**
 * The fault for a request that no candidate can take, now or after a wait. Pure. The candidate that came furthest
 * through the filters tells what is in the way: it would serve if only that were different.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { Ask, Decision, Exclusion } from './candidate.ts';
import { tierName } from './words.ts';

/** In the order in which the filters run. */
const REASON_OF: Readonly<Record<string, Reason>> = {
  target: 'MODEL_NOT_FOUND',
  answers: 'UNSUPPORTED',
  resumable: 'STREAM_NOT_RESUMABLE',
  policy: 'UNSUPPORTED',
  zone: 'UNSUPPORTED',
  structured: 'UNSUPPORTED',
  context: 'CONTEXT_TOO_LONG',
  state: 'NO_NODE',
  breaker: 'NO_NODE',
  rest: 'QUEUE_FULL',
  tried: 'NO_NODE',
  hedge: 'NO_NODE',
  load: 'NO_NODE',
  deadline: 'DEADLINE_EXCEEDED',
  cost: 'UNSUPPORTED',
  latency: 'UNSUPPORTED',
  first_token: 'UNSUPPORTED',
  quality: 'UNSUPPORTED',
  crowded: 'QUEUE_FULL',
};
const ORDER = Object.keys(REASON_OF);

/** The exclusion nearest to serving; undefined when there are none with a fault of their own. */
export function furthest({ considered }: Pick<Decision, 'considered'>): Exclusion | undefined {
  let last: Exclusion | undefined;
  for (const { exclusion } of considered) {
    if (exclusion && ORDER.indexOf(exclusion.filter) > ORDER.indexOf(last?.filter ?? '')) last = exclusion;
  }
  return last;
}

export function refusalFault(decision: Decision, { target }: Ask): Fault {
  const exclusion = furthest(decision);
  if (exclusion?.filter === 'rest') return atRest(decision);
  if (exclusion && exclusion.filter !== 'target') return new Fault(REASON_OF[exclusion.filter] as Reason, exclusion.reason);
  if (target.type === 'model') return new Fault('MODEL_NOT_FOUND', 'no node serves the model that was asked for');
  if (target.type === 'tier') return new Fault('MODEL_NOT_FOUND', `no node serves a model of tier ${tierName(target.tier)}`);
  return new Fault('NO_NODE', 'no node serves any model yet');
}

/** To come back when the first of them may be asked again. */
function atRest({ considered }: Decision): Fault {
  const resting = considered.filter(({ exclusion }) => exclusion?.filter === 'rest');
  const retryAfterMs = Math.min(...resting.map(({ candidate }) => candidate.restsMs ?? 0));
  const first = resting.find(({ candidate }) => candidate.restsMs === retryAfterMs);
  return new Fault('QUEUE_FULL', first?.exclusion?.reason ?? '', { retryAfterMs });
}
