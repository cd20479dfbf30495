import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SlotQueue } from '../../../nodes/backends/slot-queue.ts';

const first = (free: ReadonlySet<number>) => [...free][0]!;

test('under any order of comings and goings all slots work while somebody waits, and starts keep the order', () => {
  const step = fc.oneof(
    fc.constant({ type: 'add' as const }),
    fc.record({ type: fc.constant('free' as const), which: fc.nat() }),
    fc.record({ type: fc.constant('leave' as const), which: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (slots, steps) => {
      const started: number[] = [];
      const queue = new SlotQueue<number, number>(Array.from({ length: slots }).keys(), first, (_, work) => started.push(work));
      let added = 0;
      for (const { type, ...rest } of steps) {
        const which = 'which' in rest ? (rest.which as number) : 0;
        if (type === 'add') queue.add(added++);
        if (type === 'leave' && queue.waiting.size > 0)
          expect(queue.leave([...queue.waiting][which % queue.waiting.size]!)).toBe(true);
        if (type === 'free' && queue.running.size > 0) {
          queue.free([...queue.running.keys()][which % queue.running.size]!);
          queue.handOn();
        }
        expect(new Set(queue.running.values()).size).toBe(queue.running.size);
        expect(queue.running.size).toBe(Math.min(slots, queue.running.size + queue.waiting.size));
        expect(queue.slots).toBe(slots);
      }
      expect(started).toEqual([...started].sort((a, b) => a - b));
    }),
  );
});

test('a slot is free before the next one starts', () => {
  const started: string[] = [];
  const queue = new SlotQueue<number, string>([0], first, (_, work) => started.push(work));
  queue.add('a');
  queue.add('b');
  queue.free('a');
  expect([started, queue.running.size]).toEqual([['a'], 0]);
  queue.handOn();
  expect(started).toEqual(['a', 'b']);
  queue.free('a');
  expect(queue.running.size).toBe(1);
});
