/** A node that runs out of memory, on real processes in a control group: it gives things up, and has them back. */
import { describe, expect, it } from 'vitest';
import type { Node } from '../../client/index.ts';
import { ModelState, PressureLevel } from '../../client/index.ts';
import { openMemoryGroup, whyNoMemoryGroup } from '../support/memory-group.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const LIMIT = 2 * 2 ** 30;
const { MODEL_STATE_SERVING: SERVING, MODEL_STATE_LOADABLE: LOADABLE } = ModelState;

const why = whyNoMemoryGroup();

const tightOf = (nodes: readonly Node[]) => nodes.find(({ id }) => id === 'tight');
const states = (node: Node | undefined) => node?.loads.map(({ state }) => state).toSorted() ?? [];
const steps = (node: Node | undefined) => node?.pressure?.steps ?? [];

/** Asks for stories again and again, three at a time, until it is disposed; `told` has how many came whole. */
function readers({ client }: TestMesh): { told: number; readonly failed: unknown[] } & AsyncDisposable {
  let reads = true;
  const all = { told: 0, failed: [] as unknown[], [Symbol.asyncDispose]: end };
  const read = async () => {
    while (reads) {
      const story = client.ask({ messages: 'Once upon a time', model: 'stories-15m', maxTokens: 48, cache: { mode: 'bypass' } });
      await story.then(
        () => all.told++,
        (error: unknown) => all.failed.push(error),
      );
    }
  };
  const readers = [read(), read(), read()];
  async function end(): Promise<void> {
    reads = false;
    await Promise.all(readers);
  }
  return all;
}

describe.skipIf(why !== '')(`a node in a control group of 2 GiB that others fill${why && ` (skipped: ${why})`}`, () => {
  it('unloads, refuses and comes back; nobody is killed, and every request gets its answer', { timeout: 180_000 }, async () => {
    await using group = openMemoryGroup(LIMIT);
    await using mesh = await startMesh({ nodes: [{ id: 'roomy', slots: 2 }], connect: { apiKey: TOKEN } });
    const node = await mesh.addNode({ id: 'tight', model: 'stories-15m,all-minilm-l6-v2', slots: 2, env: group.env });
    await mesh.until((nodes) => states(tightOf(nodes)).join() === [SERVING, SERVING].join());
    await using hog = group.hog();
    await using stories = readers(mesh);

    hog.fillTo(0.88);
    await mesh.until((nodes) => steps(tightOf(nodes)).includes('unload') && states(tightOf(nodes)).includes(LOADABLE));
    expect(states(tightOf(await mesh.client.nodes()))).toEqual([SERVING, LOADABLE]);

    hog.fillTo(0.965);
    await mesh.until((nodes) => tightOf(nodes)?.pressure?.level === PressureLevel.PRESSURE_LEVEL_CRITICAL);
    const told = stories.told;
    await expect.poll(() => stories.told, { timeout: 20_000 }).toBeGreaterThan(told + 5);

    await hog[Symbol.asyncDispose]();
    await mesh.until((nodes) => !steps(tightOf(nodes)).includes('shed'));
    await mesh.until((nodes) => !steps(tightOf(nodes)).includes('smaller-tier'));
    await mesh.until((nodes) => tightOf(nodes)?.pressure?.level === PressureLevel.PRESSURE_LEVEL_NONE);
    for await (const { fault } of mesh.client.loadModel('all-minilm-l6-v2', { nodes: ['tight'] })) expect(fault).toBeUndefined();
    expect((await mesh.client.embed(['It is here again.'])).vectors).toHaveLength(1);

    await stories[Symbol.asyncDispose]();
    expect(stories.failed).toEqual([]);
    expect(group.oomKills()).toBe(0);
    expect(tightOf(await mesh.client.nodes())?.engineCrashes).toBe(0);
    const events = [...node.output().matchAll(/"event":"(pressure_\w+)","step":"([\w-]+)"/g)].map(
      ([, event, step]) => `${event} ${step}`,
    );
    expect(new Set(events.filter((event) => event.startsWith('pressure_step ')))).toEqual(
      new Set(['pressure_step unload', 'pressure_step smaller-tier', 'pressure_step shed']),
    );
    expect(events.slice(-3)).toEqual(['pressure_step_back shed', 'pressure_step_back smaller-tier', 'pressure_step_back unload']);
    await expectAtRest(mesh);
  });
});
