import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryIndex } from '../../../cache/semantic/memory-index.ts';
import { GRAPH_FROM, Shelf } from '../../../cache/semantic/shelf.ts';
import { loadUsearch } from '../../../cache/semantic/usearch.ts';
import { dot } from '../../../cache/semantic/vectors.ts';
import { FakeClock, seeded } from '../../support/clock.ts';
import { entryOf, indexContract, partitionOf } from './index-contract.ts';
import { randomUnit } from './prompts.ts';

const makeGraph = await loadUsearch();

for (const [name, graphs] of [
  ['Memory', undefined],
  ['Memory with usearch', makeGraph],
] as const) {
  indexContract(name, async (context) => {
    if (name !== 'Memory' && !graphs) context.skip('usearch is not there for this machine');
    const clock = new FakeClock();
    return { index: new MemoryIndex(clock, graphs), pass: async (ms) => clock.advance(ms) };
  });
}

describe('an index in memory', () => {
  test('keeps so many entries of all partitions together, those that were used last', async () => {
    const index = new MemoryIndex(new FakeClock(), undefined, { entries: 4, bytes: 1 << 20 });
    const [a, b] = [partitionOf('im1:s:a:1'), partitionOf('im1:s:b:1')];
    const vector = randomUnit(seeded(1), 24);
    for (const id of ['1', '2']) await index.add(a, entryOf(id, vector));
    for (const id of ['3', '4']) await index.add(b, entryOf(id, vector));
    await index.nearest(a, vector, 2);
    for (const id of ['5', '6']) await index.add(b, entryOf(id, vector));
    expect(await index.size()).toBe(4);
    expect((await index.nearest(a, vector, 8)).length).toBe(2);
    expect((await index.nearest(b, vector, 8)).map(({ id }) => id).sort()).toEqual(['5', '6']);
  });

  test('keeps so many bytes, and nothing that is larger than all of them', async () => {
    const index = new MemoryIndex(new FakeClock(), undefined, { entries: 1000, bytes: 10_000 });
    const partition = partitionOf('im1:s:a:1');
    const vector = randomUnit(seeded(1), 24);
    for (let i = 0; i < 100; i++) await index.add(partition, entryOf(`e${i}`, vector));
    expect(await index.size()).toBeLessThan(20);
    await index.add(partition, { ...entryOf('e99', vector), sealed: Buffer.alloc(20_000) });
    expect((await index.nearest(partition, vector, 100)).map(({ id }) => id)).not.toContain('e99');
  });

  test('is purged by the prefix of its partitions', async () => {
    const index = new MemoryIndex(new FakeClock());
    const [ours, theirs] = [partitionOf('im1:s:ours:1'), partitionOf('im1:s:theirs:1')];
    const vector = randomUnit(seeded(1), 24);
    for (const partition of [ours, theirs]) for (const id of ['1', '2']) await index.add(partition, entryOf(id, vector));
    expect(index.purge('im1:s:ours:')).toBe(2);
    expect(await index.nearest(ours, vector, 8)).toEqual([]);
    expect((await index.nearest(theirs, vector, 8)).length).toBe(2);
    expect(index.purge('im1:s:')).toBe(2);
    expect(await index.size()).toBe(0);
  });

  test('takes no vector of another length', async () => {
    const index = new MemoryIndex(new FakeClock());
    await index.add(partitionOf('im1:s:a:1', 8), entryOf('1', randomUnit(seeded(1), 24)));
    expect(await index.size()).toBe(0);
    expect(await index.nearest(partitionOf('im1:s:a:1', 8), randomUnit(seeded(1), 24), 8)).toEqual([]);
  });

  test('holds what a map would hold, whatever comes in whatever order', async () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('add' as const), id: fc.nat(9), partition: fc.nat(2), ttl: fc.integer({ min: 1, max: 50 }) }),
      fc.record({ op: fc.constant('remove' as const), id: fc.nat(9), partition: fc.nat(2) }),
      fc.record({ op: fc.constant('pass' as const), ms: fc.nat(30) }),
    );
    const vector = randomUnit(seeded(9), 24);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const clock = new FakeClock();
        const index = new MemoryIndex(clock);
        const model = new Map<string, number>();
        for (const one of steps) {
          if (one.op === 'pass') clock.advance(one.ms);
          else if (one.op === 'remove') {
            await index.remove(partitionOf(`p${one.partition}`), `${one.id}`);
            model.delete(`${one.partition} ${one.id}`);
          } else {
            await index.add(partitionOf(`p${one.partition}`), entryOf(`${one.id}`, vector, one.ttl));
            model.set(`${one.partition} ${one.id}`, clock.now() + one.ttl);
          }
        }
        for (const partition of [0, 1, 2]) {
          const found = await index.nearest(partitionOf(`p${partition}`), vector, 100);
          const expected = [...model].filter(([name, until]) => name.startsWith(`${partition} `) && until >= clock.now());
          expect(found.map(({ id }) => `${partition} ${id}`).sort()).toEqual(expected.map(([name]) => name).sort());
        }
      }),
    );
  });
});

describe('a shelf of many vectors', () => {
  test('is searched by a graph once that has them all, and finds what comparing each would', (context) => {
    if (!makeGraph) return context.skip('usearch is not there for this machine');
    const random = seeded(7);
    const shelf = new Shelf(64, makeGraph);
    const vectors = new Map<string, Float32Array>();
    const add = (id: string) => {
      const vector = randomUnit(random, 64);
      vectors.set(id, vector);
      shelf.add(id, vector);
    };
    for (let i = 0; i < GRAPH_FROM; i++) add(`e${i}`);
    expect(shelf.isGraphed).toBe(false);
    for (let i = GRAPH_FROM; !shelf.isGraphed; i++) add(`e${i}`);
    expect(shelf.size).toBeLessThan(GRAPH_FROM * 1.5);
    for (const id of ['e3', 'e5']) {
      shelf.remove(id);
      vectors.delete(id);
    }
    let agreed = 0;
    for (let i = 0; i < 50; i++) {
      const asked = randomUnit(random, 64);
      const exact = [...vectors].sort(([, a], [, b]) => dot(b, asked) - dot(a, asked)).slice(0, 8);
      const found = shelf.nearest(asked, 8);
      expect(found).not.toContain('e3');
      agreed += exact.filter(([id]) => found.includes(id)).length / 8 / 50;
    }
    expect(agreed).toBeGreaterThan(0.9);
  });
});
