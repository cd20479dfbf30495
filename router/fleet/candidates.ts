/** What selection sees of a node's model: what the node said, corrected by what this router has given it. */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { NodeState, PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Candidate } from '../select/candidate.ts';
import type { NodeLink } from './node-link.ts';
import type { Reserved } from './reservations.ts';

/** What this router makes of a node that says it serves. */
export type Standing = Pick<Candidate, 'trouble' | 'barred' | 'restsMs'>;
type Known = Standing & Pick<Candidate, 'cold'>;

/** @param waiting requests in the router's line for the model */
export function candidateOf(link: NodeLink, model: ServedModel, waiting: number, known: Known): Candidate {
  const { trouble, barred, restsMs, cold } = known;
  const load = link.loadOf(model.name);
  const own = link.reservations.of(model.name);
  // Where prompts queue there is no free slot, whatever the node claims.
  const claimed = (load?.queued ?? 0) > 0 ? own.requests : (load?.freeSlots ?? model.slots);
  const forThisRouter = Math.min(model.slots, claimed);
  const said = link.stateOf(model.name);
  // What is being loaded because it is wanted counts as served, after a wait.
  const comes = cold && (said === NodeState.NODE_STATE_LOADING || said === NodeState.NODE_STATE_RECOVERING);
  const state = comes ? NodeState.NODE_STATE_SERVING : said;
  return {
    node: link.id,
    zone: link.hello.zone,
    state,
    alone: state !== link.state,
    returning: trouble !== undefined || isReturning(state, link.served.has(model.name)),
    trouble,
    barred,
    restsMs,
    cold,
    short: shortOf(link),
    model,
    freeSlots: cold ? 0 : Math.max(0, Math.min(forThisRouter - own.requests, roomToProve(own, model))),
    running: cold ? 0 : model.slots - forThisRouter + own.requests,
    queuedPromptTokens: Math.max(own.promptTokens, load?.queuedPromptTokens ?? 0),
    expectedTokens: own.outputTokens,
    waiting,
  };
}

/** What a node gets without having shown anything. */
const UNPROVEN = 8;
/** Tokens per second, of which the first is soon there. */
const SOON_PROVEN = 5;

/**
 * How many more it may be given that have not begun, by what it was seen to work on at the same time: twice as much, so a
 * node that can do what it claims has shown it after a few answers, and one that can't has few waiting. Of one that is
 * slow by its own account the proof would take longer than the harm.
 */
function roomToProve({ unbegun, mostBegun }: Reserved, { decodeTokensPerSecond }: ServedModel): number {
  if (decodeTokensPerSecond < SOON_PROVEN) return Number.POSITIVE_INFINITY;
  return Math.max(UNPROVEN, 2 * mostBegun) - unbegun;
}

/** The pressure that its node reports, as far as it matters to a choice. */
function shortOf({ report }: NodeLink): Candidate['short'] {
  const { level = PressureLevel.PRESSURE_LEVEL_NONE, steps = [] } = report?.pressure ?? {};
  if (level >= PressureLevel.PRESSURE_LEVEL_CRITICAL) return 'others_first';
  return level >= PressureLevel.PRESSURE_LEVEL_HIGH && steps.includes('smaller-tier') ? 'smaller_first' : undefined;
}

/** Out of service for a moment only; one that loads for the first time may take long, and its router never had it. */
function isReturning(state: NodeState, hasServed: boolean): boolean {
  switch (state) {
    case NodeState.NODE_STATE_RECOVERING:
    case NodeState.NODE_STATE_SUSPECT:
      return true;
    case NodeState.NODE_STATE_LOADING:
      return hasServed;
    default:
      return false;
  }
}

/** Of a node that has just left. */
export function missingCandidate(node: string, model: ServedModel): Candidate {
  const nothing = { freeSlots: 0, running: 0, queuedPromptTokens: 0, expectedTokens: 0, waiting: 0 };
  return { node, zone: '', state: NodeState.NODE_STATE_SUSPECT, returning: true, model, ...nothing };
}
