import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Index, Part, Replica } from '../../../cache/shared/replica-set.ts';
import { MOST_PART_BYTES, MOST_PARTS, MOST_REPLICAS, ReplicaSet } from '../../../cache/shared/replica-set.ts';

type Told = Map<string, string>;

function routerOf(id: string, past: readonly Replica[] = []) {
  const told: Told = new Map();
  const replicas = new ReplicaSet({
    own: { id },
    onPart: (replica, name, body) => {
      if (body === undefined) told.delete(`${replica} ${name}`);
      else told.set(`${replica} ${name}`, body);
    },
  });
  for (const one of past) replicas.remember(one);
  return { replicas, told };
}

const copyOf = ({ id, version, parts }: Replica): Replica => ({ id, version, parts: new Map(parts) });
const indexOf = ({ version, parts }: Replica): Index => ({
  version,
  parts: new Map([...parts].map(([name, part]) => [name, part.version])),
});
const hear = ({ replicas }: ReturnType<typeof routerOf>, { id, version, parts }: Replica, only = [...parts.keys()]) =>
  replicas.merge(id, indexOf({ id, version, parts }), new Map([...parts].filter(([name]) => only.includes(name))));

/** What a router believes: its own, and what it was told of others. */
const sumOf = ({ replicas, told }: ReturnType<typeof routerOf>) => {
  const own = [...replicas.own.parts].map(([name, { body }]) => [`${replicas.own.id} ${name}`, body] as const);
  return Object.fromEntries([...own, ...told].toSorted(([a], [b]) => (a < b ? -1 : 1)));
};

const NAMES = ['a', 'b', 'c', 'd'];
const write = fc.record({
  type: fc.constant('write' as const),
  by: fc.nat(2),
  name: fc.constantFrom(...NAMES),
  body: fc.option(fc.integer({ min: 0, max: 99 }).map(String), { nil: undefined }),
});
/** A copy of what a router had at some time comes to another, whole or in part; any may come again, late, or never. */
const copy = fc.record({ type: fc.constant('copy' as const), of: fc.nat(2) });
const deliver = fc.record({
  type: fc.constant('deliver' as const),
  which: fc.nat(),
  to: fc.nat(2),
  names: fc.subarray(NAMES),
});

test('whatever is lost, doubled, late or out of order: once the latest has come, all believe the same sum', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(write, copy, deliver), { maxLength: 80 }), (steps) => {
      const routers = ['x', 'y', 'z'].map((id) => routerOf(id));
      const copies: Replica[] = [];
      for (const step of steps) {
        if (step.type === 'write') routers[step.by]?.replicas.write(step.name, step.body);
        else if (step.type === 'copy') copies.push(copyOf((routers[step.of] as ReturnType<typeof routerOf>).replicas.own));
        else {
          const one = copies[step.which % Math.max(1, copies.length)];
          const to = routers[step.to];
          if (one && to) hear(to, one, step.names);
        }
      }
      for (const to of routers) {
        for (const from of routers) if (from !== to && from.replicas.own.version > 0) hear(to, copyOf(from.replicas.own));
      }
      const [first, ...others] = routers.map(sumOf);
      for (const other of others) expect(other).toEqual(first);
      const everything = routers.flatMap(({ replicas: { own } }) =>
        [...own.parts].map(([name, { body }]) => [`${own.id} ${name}`, body]),
      );
      expect(first).toEqual(Object.fromEntries(everything));
    }),
    { numRuns: 500 },
  );
});

test('a router never takes back what it knew for something older', () => {
  fc.assert(
    fc.property(fc.array(write, { minLength: 1, maxLength: 20 }), fc.array(fc.nat(), { maxLength: 40 }), (writes, order) => {
      const writer = routerOf('w');
      const copies = writes.map(({ name, body }) => {
        writer.replicas.write(name, body);
        return copyOf(writer.replicas.own);
      });
      const reader = routerOf('r');
      let newest = 0;
      for (const n of order) {
        const one = copies[n % copies.length] as Replica;
        hear(reader, one);
        newest = Math.max(newest, one.version);
        expect(reader.replicas.get('w')?.version ?? 0).toBe(newest);
      }
    }),
  );
});

describe('a replica', () => {
  it('is not as new as its index while parts are missing, and says which', () => {
    const [writer, reader] = [routerOf('w'), routerOf('r')];
    writer.replicas.write('a', '1');
    writer.replicas.write('b', '2');
    const { own } = writer.replicas;
    hear(reader, own, ['b']);
    expect(reader.replicas.get('w')?.version).toBe(0);
    expect(reader.replicas.missing('w', indexOf(own))).toEqual(['a']);
    hear(reader, own, ['a']);
    expect(reader.replicas.get('w')?.version).toBe(2);
    expect(reader.replicas.missing('w', indexOf(own))).toEqual([]);
  });

  it('loses what is gone before it gains what is new, so that nothing counts in two places', () => {
    const [writer, reader] = [routerOf('w'), routerOf('r')];
    writer.replicas.write('arm', '5');
    hear(reader, writer.replicas.own);
    writer.replicas.write('arm', undefined);
    writer.replicas.write('folded', '5');
    hear(reader, writer.replicas.own, []);
    expect(sumOf(reader)).toEqual({});
    hear(reader, writer.replicas.own);
    expect(sumOf(reader)).toEqual({ 'w folded': '5' });
  });

  it('of the past goes on from where it was written last, here or elsewhere', () => {
    const life = routerOf('life');
    life.replicas.write('a', '1');
    const saved = copyOf(life.replicas.own);
    life.replicas.write('a', '2');
    const [one, other] = [routerOf('one', [saved]), routerOf('other', [saved])];
    for (const router of [one, other]) {
      expect(sumOf(router)).toEqual({ 'life a': '1' });
      expect(router.replicas.ours.map(({ id }) => id)).toEqual([router.replicas.own.id, 'life']);
      hear(router, life.replicas.own);
      expect(sumOf(router)).toEqual({ 'life a': '2' });
    }
  });

  it('is never heard of itself', () => {
    const router = routerOf('r');
    router.replicas.write('a', '1');
    hear(router, { id: 'r', version: 9, parts: new Map([['a', { version: 9, body: '9' }]]) });
    expect(sumOf(router)).toEqual({ 'r a': '1' });
  });
});

describe('bounds', () => {
  const large = 'x'.repeat(MOST_PART_BYTES);
  const replica = (id: string, bodies: readonly string[]): Replica => ({
    id,
    version: bodies.length,
    parts: new Map(bodies.map((body, i): [string, Part] => [`p${i}`, { version: i + 1, body }])),
  });

  it('keep an own part out that is too large, and one too many', () => {
    const { replicas } = routerOf('r');
    expect(replicas.write('a', `${large}x`)).toBe(false);
    for (let i = 0; i < MOST_PARTS; i++) replicas.write(`p${i}`, '1');
    expect(replicas.write('one more', '1')).toBe(false);
    expect(replicas.write('p0', '2')).toBe(true);
    expect(replicas.own.parts.size).toBe(MOST_PARTS);
  });

  it('leave out what is too much of another, which then counts as read', () => {
    const router = routerOf('r');
    hear(
      router,
      replica(
        'w',
        Array.from({ length: 40 }, () => large),
      ),
    );
    expect(router.told.size).toBe(32);
    expect(router.replicas.get('w')?.version).toBe(40);
    hear(router, replica('v', [`${large}x`, 'small']));
    expect(router.told.get('v p1')).toBe('small');
    expect(router.told.has('v p0')).toBe(false);
  });

  it('let those go that changed longest ago, but none of the own past', () => {
    const router = routerOf('r', [replica('past', ['1'])]);
    for (let i = 0; i < 3 * MOST_REPLICAS; i++) hear(router, replica(`w${i}`, ['1']));
    expect(router.replicas.others).toHaveLength(2 * MOST_REPLICAS);
    expect(router.told.has('past p0')).toBe(true);
    expect(router.told.has('w0 p0')).toBe(false);
    expect(router.told.size).toBe(2 * MOST_REPLICAS);
  });
});
