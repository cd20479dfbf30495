/**
 * The index by the query engine of Redis, against replies in the forms that its documentation gives: none of the servers
 * that tests can have here has that engine.
 */
import { describe, expect, test } from 'vitest';
import type { RedisCommands, RedisLink } from '../../../cache/port.ts';
import { MemoryIndex } from '../../../cache/semantic/memory-index.ts';
import { bytesOf } from '../../../cache/semantic/replies.ts';
import { SearchIndex } from '../../../cache/semantic/search-index.ts';
import { SharedIndex } from '../../../cache/semantic/shared-index.ts';
import { FakeClock, seeded } from '../../support/clock.ts';
import { entryOf, partitionOf } from './index-contract.ts';
import { randomUnit } from './prompts.ts';

type Reply = (args: readonly (string | number | Buffer)[]) => unknown;
type Call = readonly (string | number | Buffer)[];

class FakeLink implements RedisLink {
  readonly kind = 'standalone';
  isUp = true;
  readonly calls: Call[] = [];
  readonly #replies: Readonly<Record<string, Reply>>;
  #onUp: (() => void) | undefined;

  constructor(replies: Readonly<Record<string, Reply>>) {
    this.#replies = replies;
  }

  async ask<Answer>(commands: (redis: RedisCommands) => Promise<Answer>): Promise<Answer | undefined> {
    const call = async (command: string, ...args: Call) => {
      this.calls.push([command, ...args]);
      const reply = this.#replies[command];
      if (!reply) throw new Error(`ERR unknown command '${command}'`);
      return reply(args);
    };
    return this.isUp ? commands({ call }).catch(() => undefined) : undefined;
  }

  onUp(listener: () => void) {
    this.#onUp = listener;
    return () => {
      this.#onUp = undefined;
    };
  }

  comeUp(): void {
    this.#onUp?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const partition = partitionOf('im1:s:tag:pa-rt_1');
const vector = randomUnit(seeded(1), 24);
const sealed = entryOf('a', vector).sealed.toString('base64');
const b = (text: string) => Buffer.from(text);
const WRITES = { HSET: () => 3, PEXPIRE: () => 1, 'FT._LIST': () => [], 'FT.CREATE': () => b('OK') };

describe('an index by the query engine', () => {
  test('is made once for each length of vectors, and takes hashes that expire by themselves', async () => {
    const link = new FakeLink(WRITES);
    const index = new SearchIndex(link, 'im1:s:');
    await index.add(partition, entryOf('a', vector, 5000));
    await index.add(partition, entryOf('b', vector, 5000));
    const create = link.calls.filter(([command]) => command === 'FT.CREATE');
    expect(create.map((call) => call.join(' '))).toEqual([
      'FT.CREATE im1:s:24 ON HASH PREFIX 1 im1:s: SCHEMA partition TAG CASESENSITIVE vector VECTOR HNSW 6 TYPE FLOAT32 DIM 24 DISTANCE_METRIC COSINE',
    ]);
    const tag = Buffer.from(partition.name).toString('hex');
    expect(link.calls).toContainEqual([
      'HSET',
      `${partition.name}:a`,
      'partition',
      tag,
      'vector',
      bytesOf(vector),
      'sealed',
      sealed,
    ]);
    expect(link.calls).toContainEqual(['PEXPIRE', `${partition.name}:a`, 5000]);
  });

  test('is not made where it is there', async () => {
    const link = new FakeLink({ ...WRITES, 'FT._LIST': () => [b('im1:s:24')] });
    await new SearchIndex(link, 'im1:s:').add(partition, entryOf('a', vector));
    expect(link.calls.map(([command]) => command)).toEqual(['FT._LIST', 'HSET', 'PEXPIRE']);
  });

  const found = [`${partition.name}:a`, `${partition.name}:b-_2`];
  const fields = [b('sealed'), b(sealed)];
  test.each<[string, unknown]>([
    ['RESP2', [2, b(found[0]!), fields, b(found[1]!), fields]],
    [
      'RESP3, as maps',
      new Map<string, unknown>([
        ['total_results', 2],
        [
          'results',
          found.map(
            (id) =>
              new Map<string, unknown>([
                ['id', b(id)],
                ['extra_attributes', new Map([['sealed', b(sealed)]])],
                ['values', []],
              ]),
          ),
        ],
      ]),
    ],
    [
      'RESP3, as lists',
      [b('total_results'), 2, b('results'), found.map((id) => [b('id'), b(id), b('extra_attributes'), fields, b('values'), []])],
    ],
    ['RESP3, as objects', { total_results: 2, results: found.map((id) => ({ id, extra_attributes: { sealed }, values: [] })) }],
  ])('is searched within one partition, and replies are read in %s', async (_form, reply) => {
    const link = new FakeLink({ ...WRITES, 'FT.SEARCH': () => reply });
    const neighbours = await new SearchIndex(link, 'im1:s:').nearest(partition, vector, 8);
    expect(neighbours.map(({ id }) => id)).toEqual(['a', 'b-_2']);
    expect(neighbours[0]?.sealed).toEqual(entryOf('a', vector).sealed);
    const search = link.calls.find(([command]) => command === 'FT.SEARCH')!;
    expect(search[2]).toBe(`(@partition:{${Buffer.from(partition.name).toString('hex')}})=>[KNN 8 @vector $vector AS distance]`);
    expect(search).toContainEqual(bytesOf(vector));
  });

  test.each([[undefined], [[]], [[0]], ['OK'], [[1, b('im1:s:x')]], [{ results: [{}] }], [null]])(
    'finds nothing in %o',
    async (reply) => {
      const link = new FakeLink({ ...WRITES, 'FT.SEARCH': () => reply });
      expect(await new SearchIndex(link, 'im1:s:').nearest(partition, vector, 8)).toEqual([]);
    },
  );

  test('is made again after it was dropped', async () => {
    const link = new FakeLink(WRITES);
    const index = new SearchIndex(link, 'im1:s:');
    await index.add(partition, entryOf('a', vector));
    expect(await index.nearest(partition, vector, 8)).toEqual([]);
    await index.add(partition, entryOf('a', vector));
    expect(link.calls.filter(([command]) => command === 'FT.CREATE')).toHaveLength(2);
  });

  test('counts what it has', async () => {
    const link = new FakeLink({ ...WRITES, 'FT.INFO': () => [b('index_name'), b('im1:s:24'), b('num_docs'), b('7')] });
    const index = new SearchIndex(link, 'im1:s:');
    await index.add(partition, entryOf('a', vector));
    expect(await index.size()).toBe(7);
  });
});

describe('what a server can do', () => {
  const known = [b('x'), -1];
  test.each([
    ['vector-set', [known, known]],
    ['vector-set', [known, null]],
    ['search', [null, known]],
    ['memory', [null, null]],
  ])('makes the index one of %s', async (kind, reply) => {
    const link = new FakeLink({ COMMAND: () => reply });
    const clock = new FakeClock();
    await using index = new SharedIndex({ link, local: new MemoryIndex(clock), clock, prefix: 'im1:s:' });
    await index.detect();
    expect(index.kind).toBe(kind);
  });

  test('is looked at anew each time that one comes up', async () => {
    let reply: unknown = [null, null];
    const link = new FakeLink({ COMMAND: () => reply });
    const clock = new FakeClock();
    await using index = new SharedIndex({ link, local: new MemoryIndex(clock), clock, prefix: 'im1:s:' });
    await index.detect();
    reply = [known, null];
    link.comeUp();
    await expect.poll(() => index.kind).toBe('vector-set');
    link.isUp = false;
    await index.detect();
    expect(index.kind).toBe('vector-set');
  });
});
