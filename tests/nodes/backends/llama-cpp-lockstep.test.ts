import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Place } from '../../../nodes/backends/llama-cpp/lockstep.ts';
import { Lockstep } from '../../../nodes/backends/llama-cpp/lockstep.ts';

const SEQUENCES = ['a', 'b', 'c', 'd', 'e'] as const;
type Sequence = (typeof SEQUENCES)[number];

test('who steps alone does not wait', async () => {
  const place = new Lockstep(SEQUENCES).place('c');
  for (let step = 0; step < 3; step++) await place.turn();
});

test('two step together, in the order of their slots, whoever came first', async () => {
  const lockstep = new Lockstep(SEQUENCES);
  const [first, second] = [lockstep.place('b'), lockstep.place('d')];
  const went: string[] = [];
  const step = (place: Place, name: string) => place.turn().then(() => went.push(name));
  await step(second, 'd alone');
  const joins = step(first, 'b');
  await Promise.all([joins, step(second, 'd')]);
  await Promise.all([step(second, 'd'), step(first, 'b')]);
  expect(went).toEqual(['d alone', 'b', 'd', 'b', 'd']);
});

test('who rests or has ended is not waited for', async () => {
  const lockstep = new Lockstep(SEQUENCES);
  const [one, other] = [lockstep.place('a'), lockstep.place('b')];
  const bothRun = async () => {
    await one.turn();
    await Promise.all([other.turn(), one.turn()]);
  };
  await bothRun();
  const waiting = one.turn();
  other.rest();
  await waiting;
  await bothRun();
  const last = one.turn();
  other[Symbol.dispose]();
  await last;
});

test('whatever happens, all who run step together or none does', async () => {
  const action = fc.record({ sequence: fc.constantFrom(...SEQUENCES), does: fc.constantFrom('turn', 'rest') });
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
      const lockstep = new Lockstep<Sequence>(SEQUENCES);
      const places = new Map<Sequence, Place>(SEQUENCES.map((sequence) => [sequence, lockstep.place(sequence)]));
      const running = new Set<Sequence>();
      const waiting = new Set<Sequence>();
      let went: Sequence[] = [];
      for (const { sequence, does } of actions) {
        // A sequence that waits for its turn does nothing else.
        if (waiting.has(sequence)) continue;
        if (does === 'turn') {
          running.add(sequence);
          waiting.add(sequence);
          void (places.get(sequence) as Place).turn().then(() => went.push(sequence));
        } else {
          running.delete(sequence);
          (places.get(sequence) as Place).rest();
        }
        const due = waiting.size === running.size ? SEQUENCES.filter((one) => waiting.has(one)) : [];
        await new Promise((resolve) => setImmediate(resolve));
        expect(went).toEqual(due);
        for (const one of went) waiting.delete(one);
        went = [];
      }
    }),
  );
});
