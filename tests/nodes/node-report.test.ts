import { expect, it } from 'vitest';
import { nodeState } from '../../nodes/node-report.ts';
import { ModelState, NodeState } from '../../proto/gen/infermesh/v1/types.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING, MODEL_STATE_DRAINING: DRAINING } = ModelState;
const { MODEL_STATE_LOADING: LOADING, MODEL_STATE_RECOVERING: RECOVERING } = ModelState;
const state = (states: ModelState[], starting = false, leaving = false) => nodeState({ leaving, starting, states });

it.each([
  [[SERVING, RECOVERING, LOADABLE], NodeState.NODE_STATE_SERVING],
  [[LOADABLE], NodeState.NODE_STATE_SERVING],
  [[LOADABLE, RECOVERING], NodeState.NODE_STATE_SERVING],
  [[RECOVERING, LOADING], NodeState.NODE_STATE_RECOVERING],
  [[LOADING], NodeState.NODE_STATE_LOADING],
  [[DRAINING], NodeState.NODE_STATE_LOADING],
  [[], NodeState.NODE_STATE_LOADING],
])('a node whose models are %j is in state %d', (states, expected) => {
  expect(state(states)).toBe(expected);
});

it('serves while it begins once one of its models does, and drains whatever they do', () => {
  expect(state([LOADING, LOADABLE], true)).toBe(NodeState.NODE_STATE_LOADING);
  expect(state([LOADABLE], true)).toBe(NodeState.NODE_STATE_LOADING);
  expect(state([SERVING, LOADING], true)).toBe(NodeState.NODE_STATE_SERVING);
  expect(state([SERVING], false, true)).toBe(NodeState.NODE_STATE_DRAINING);
});
