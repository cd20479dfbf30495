/**
 * The fault for a request that no candidate can take, now or after a wait. Pure. The candidate that came furthest
 * through the filters tells what is in the way: it would serve if only that were different.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { Ask, Decision } from './candidate.ts';
import { tierName } from './filters.ts';

/** In the order in which the filters run. */
const REASON_OF: Readonly<Record<string, Reason>> = {
  target: 'MODEL_NOT_FOUND',
  structured: 'UNSUPPORTED',
  context: 'CONTEXT_TOO_LONG',
  state: 'NO_NODE',
  deadline: 'DEADLINE_EXCEEDED',
};

export function refusalFault({ considered }: Decision, { target }: Ask): Fault {
  const order = Object.keys(REASON_OF);
  const furthest = considered
    .flatMap(({ exclusion }) => (exclusion && exclusion.filter in REASON_OF ? [exclusion] : []))
    .toSorted((a, b) => order.indexOf(b.filter) - order.indexOf(a.filter))[0];
  if (furthest && furthest.filter !== 'target') return new Fault(REASON_OF[furthest.filter] as Reason, furthest.reason);
  if (target.type === 'model') return new Fault('MODEL_NOT_FOUND', 'no node serves the model that was asked for');
  if (target.type === 'tier') return new Fault('MODEL_NOT_FOUND', `no node serves a model of tier ${tierName(target.tier)}`);
  return new Fault('NO_NODE', 'no node serves any model yet');
}
