/** What a node says of itself and of its models in a report. Pure. */
import { embedsOnly } from '../proto/contract/embedding.ts';
import type { ModelLoad } from '../proto/gen/infermesh/v1/types.ts';
import { ModelState, NodeState } from '../proto/gen/infermesh/v1/types.ts';
import type { Load } from './backends/backend.ts';
import type { Place } from './shelf/place.ts';

interface Standing {
  readonly leaving: boolean;
  /** The models that it begins with are on their way. */
  readonly starting: boolean;
  readonly states: readonly ModelState[];
}

export function nodeState({ leaving, starting, states }: Standing): NodeState {
  const some = (state: ModelState) => states.includes(state);
  if (leaving) return NodeState.NODE_STATE_DRAINING;
  if (some(ModelState.MODEL_STATE_SERVING)) return NodeState.NODE_STATE_SERVING;
  if (some(ModelState.MODEL_STATE_LOADABLE) && !starting) return NodeState.NODE_STATE_SERVING;
  return some(ModelState.MODEL_STATE_RECOVERING) ? NodeState.NODE_STATE_RECOVERING : NodeState.NODE_STATE_LOADING;
}

/** @param others slots that the router cannot know to be taken: by the work of other routers, and by what it lost itself */
export function modelLoad(place: Place, others: number): ModelLoad {
  const { name, state, served, loadMs } = place;
  const comes = state !== ModelState.MODEL_STATE_LOADABLE && state !== ModelState.MODEL_STATE_DRAINING;
  const { running, queued, queuedPromptTokens, kvCacheUse, usableSlots = served.slots } = loadNow(place);
  return {
    model: name,
    freeSlots: comes ? Math.max(0, usableSlots - others) : 0,
    running,
    queued,
    queuedPromptTokens,
    kvCacheUse,
    prefillTokensPerSecond: served.prefillTokensPerSecond,
    decodeTokensPerSecond: served.decodeTokensPerSecond,
    state,
    loadMs,
  };
}

function loadNow({ current, served, running }: Place): Load {
  if (!current) return { running, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0 };
  return embedsOnly(served.tasks) ? embedLoad(current.taken, served.slots) : current.engine.currentLoad();
}

/** The engine reads the texts of all embeds in turns, so those that have a slot are those that came first. */
function embedLoad(taken: number, slots: number): Load {
  const running = Math.min(taken, slots);
  return { running, queued: taken - running, queuedPromptTokens: 0, kvCacheUse: 0 };
}
