/** What every index must do, wherever its vectors lie. */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'vitest';
import { describe, expect, test } from 'vitest';
import type { IndexEntry, Partition, SemanticIndex } from '../../../cache/semantic/port.ts';
import { dot } from '../../../cache/semantic/vectors.ts';
import { seeded } from '../../support/clock.ts';
import { randomUnit } from './prompts.ts';

export interface IndexSubject {
  readonly index: SemanticIndex;
  /** Lets time pass, for what expires. */
  pass(ms: number): Promise<void>;
}

const DIMENSIONS = 24;
const LONG_MS = 600_000;

export const partitionOf = (name: string, dimensions = DIMENSIONS): Partition => ({ name, dimensions });

export function entryOf(id: string, vector: Float32Array, ttlMs = LONG_MS): IndexEntry {
  return { id, vector, sealed: Buffer.concat([Buffer.from([0, 255, 10, 13]), Buffer.from(id)]), ttlMs };
}

/** @param open called for each test; it may give the same one each time */
export function indexContract(name: string, open: (context: TestContext) => Promise<IndexSubject>): void {
  const fresh = () => partitionOf(`im1:s:test:${randomBytes(12).toString('hex')}`);
  const idsOf = async (index: SemanticIndex, partition: Partition, vector: Float32Array, count: number) =>
    (await index.nearest(partition, vector, count)).map(({ id }) => id);

  describe(`${name} is an index`, () => {
    test('the nearest come first, with what was sealed byte for byte', async (context) => {
      const { index } = await open(context);
      const partition = fresh();
      const random = seeded(1);
      const vectors = Array.from({ length: 200 }, () => randomUnit(random, DIMENSIONS));
      await Promise.all(vectors.map((vector, i) => index.add(partition, entryOf(`e${i}`, vector))));
      const asked = vectors[17] as Float32Array;
      const found = await index.nearest(partition, asked, 5);
      const exact = vectors.map((vector, i) => ({ id: `e${i}`, by: dot(vector, asked) })).sort((a, b) => b.by - a.by);
      expect(found[0]).toEqual({ id: 'e17', sealed: entryOf('e17', asked).sealed });
      expect(found.map(({ id }) => id).filter((id) => exact.slice(0, 5).some((one) => one.id === id)).length).toBeGreaterThan(3);
      expect(found.length).toBe(5);
    });

    test('one with the same id takes its place', async (context) => {
      const { index } = await open(context);
      const partition = fresh();
      const [a, b] = [randomUnit(seeded(2), DIMENSIONS), randomUnit(seeded(3), DIMENSIONS)];
      await index.add(partition, entryOf('same', a));
      await index.add(partition, { ...entryOf('same', b), sealed: Buffer.from('newer') });
      expect(await index.nearest(partition, b, 8)).toEqual([{ id: 'same', sealed: Buffer.from('newer') }]);
    });

    test('partitions know nothing of each other', async (context) => {
      const { index } = await open(context);
      const [ours, theirs] = [fresh(), fresh()];
      const vector = randomUnit(seeded(4), DIMENSIONS);
      await index.add(ours, entryOf('ours', vector));
      expect(await idsOf(index, theirs, vector, 8)).toEqual([]);
      await index.remove(theirs, 'ours');
      expect(await idsOf(index, ours, vector, 8)).toEqual(['ours']);
    });

    test('what was removed is gone, and what never was there may be removed', async (context) => {
      const { index } = await open(context);
      const partition = fresh();
      const vector = randomUnit(seeded(5), DIMENSIONS);
      await index.add(partition, entryOf('gone', vector));
      await index.add(partition, entryOf('stays', vector));
      await index.remove(partition, 'gone');
      await index.remove(partition, 'never');
      expect(await idsOf(index, partition, vector, 8)).toEqual(['stays']);
    });

    test('what is too old is not found, also where it is nearer than the rest', async (context) => {
      const { index, pass } = await open(context);
      const partition = fresh();
      const random = seeded(6);
      const asked = randomUnit(random, DIMENSIONS);
      await Promise.all(Array.from({ length: 20 }, (_, i) => index.add(partition, entryOf(`old${i}`, asked, 1_500))));
      await index.add(partition, entryOf('young', randomUnit(random, DIMENSIONS)));
      await index.add(partition, entryOf('never', asked, 0));
      await pass(3_000);
      expect(await idsOf(index, partition, asked, 4)).toEqual(['young']);
    });
  });
}
