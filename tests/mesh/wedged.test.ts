/** Engines that stand still while their node goes on reporting that it serves. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NodeState } from '../../client/index.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ id: 'wedges' }] });
});
afterAll(() => mesh[Symbol.asyncDispose]());

const stateIs = (state: NodeState) => mesh.until((nodes) => nodes.some((node) => node.id === 'wedges' && node.state === state));

it('an idle one is found by the router itself, given no work, and serves again when its engine goes on', async () => {
  const [node] = mesh.nodes;
  const engines = childrenOf(node?.pid as number);
  for (const pid of engines) process.kill(pid, 'SIGSTOP');
  try {
    await stateIs(NodeState.NODE_STATE_SUSPECT);
    await expect(mesh.client.ask({ messages: 'hello' })).rejects.toMatchObject({
      reason: 'NO_NODE',
      message: 'its engine gives no tokens',
    });
  } finally {
    for (const pid of engines) process.kill(pid, 'SIGCONT');
  }
  await stateIs(NodeState.NODE_STATE_SERVING);
  const { finished } = await mesh.client.ask({ messages: 'Once upon a time', maxTokens: 5 });
  expect(finished.usage?.outputTokens).toBe(5);
  expect(mesh.router.output()).toMatch(/"node_wedged".*\n(.*\n)*.*"node_unwedged"/);
  await expectAtRest(mesh);
});

/** Linux: direct children of a process. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}
