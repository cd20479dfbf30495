/** Engines that stand still while their node goes on reporting that it serves. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NodeState } from '../../client/index.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const FOUND_WITHIN_MS = 15_000;
/** For the router's watch of the fleet. */
const TOLD_WITHIN_MS = 1000;

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ id: 'wedges' }] });
});
afterAll(() => mesh[Symbol.asyncDispose]());

const stateIs = (state: NodeState) => mesh.until((nodes) => nodes.some((node) => node.id === 'wedges' && node.state === state));

it('an idle one is found by the router itself, given no work, and serves again when its engine goes on', async () => {
  const [node] = mesh.nodes;
  const engines = childrenOf(node?.pid as number);
  const stoppedAt = performance.now();
  for (const pid of engines) process.kill(pid, 'SIGSTOP');
  try {
    await stateIs(NodeState.NODE_STATE_SUSPECT);
    expect(performance.now() - stoppedAt).toBeLessThan(FOUND_WITHIN_MS + TOLD_WITHIN_MS);
    const [wedged] = await mesh.client.nodes();
    expect(wedged?.reportAgeMs).toBeLessThan(2500);
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
