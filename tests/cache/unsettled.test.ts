import { expect, it } from 'vitest';
import { Unsettled } from '../../cache/unsettled.ts';

const named = (count: number) => Array.from({ length: count }, (_, index) => `name ${index}`);

it('tells the store again of each name until it has heard', async () => {
  const unsettled = new Unsettled();
  for (const name of named(3)) unsettled.add(name);
  const heard: string[] = [];
  await unsettled.settleAll(async (name) => name !== 'name 1' && heard.push(name) > 0);
  expect(heard).toEqual(['name 0', 'name 2']);
  expect(named(3).filter((name) => unsettled.has(name))).toEqual(['name 1']);
  await unsettled.settleAll(async () => true);
  expect(unsettled.count).toBe(0);
});

it('tries a few of those that are not heard in each round, in turns', async () => {
  const unsettled = new Unsettled();
  for (const name of named(40)) unsettled.add(name);
  const tried: string[] = [];
  const refuse = async (name: string) => tried.push(name) === 0;
  for (let round = 0; round < 3; round++) await unsettled.settleAll(refuse);
  expect(tried).toEqual([...named(40), ...named(8)]);
});

it('runs one round at a time', async () => {
  const unsettled = new Unsettled();
  unsettled.add('name');
  const heard = Promise.withResolvers<boolean>();
  const round = unsettled.settleAll(() => heard.promise);
  await unsettled.settleAll(() => expect.unreachable());
  heard.resolve(true);
  await round;
  expect(unsettled.count).toBe(0);
});

it('is not settled by what was told before the last change', async () => {
  const unsettled = new Unsettled();
  const first = unsettled.add('name');
  await unsettled.settleAll(async (name) => {
    unsettled.add(name);
    return true;
  });
  unsettled.settle('name', first);
  expect(unsettled.has('name')).toBe(true);
  unsettled.settle('name');
  expect(unsettled.has('name')).toBe(false);
});

it('is bounded; the oldest are forgotten', () => {
  const unsettled = new Unsettled();
  for (const name of named(10_001)) unsettled.add(name);
  expect(unsettled.count).toBe(10_000);
  expect([unsettled.has('name 0'), unsettled.has('name 1')]).toEqual([false, true]);
});
