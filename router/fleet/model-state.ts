/** What a node says of one of its models, as a state of nodes. Pure. */
import type { ModelLoad } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState, NodeState } from '../../proto/gen/infermesh/v1/types.ts';

const OF_MODEL: Readonly<Record<number, NodeState>> = {
  [ModelState.MODEL_STATE_LOADING]: NodeState.NODE_STATE_LOADING,
  [ModelState.MODEL_STATE_SERVING]: NodeState.NODE_STATE_SERVING,
  [ModelState.MODEL_STATE_RECOVERING]: NodeState.NODE_STATE_RECOVERING,
  [ModelState.MODEL_STATE_DRAINING]: NodeState.NODE_STATE_DRAINING,
  [ModelState.MODEL_STATE_LOADABLE]: NodeState.NODE_STATE_SERVING,
};

/** A node that leaves takes all its models along; else each has its own. One that it would have to load is as good as served. */
export function stateOfModel(node: NodeState, load: ModelLoad | undefined): NodeState {
  if (node === NodeState.NODE_STATE_DRAINING) return node;
  return OF_MODEL[load?.state ?? ModelState.MODEL_STATE_UNSPECIFIED] ?? node;
}
