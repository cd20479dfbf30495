import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CircuitState } from '../../../cache/redis/circuit.ts';
import {
  Circuit,
  FIRST_PAUSE_MS,
  LONGEST_PAUSE_MS,
  PROBE_LIMIT_MS,
  STEADY_MS,
  SUSPECT_MS,
} from '../../../cache/redis/circuit.ts';
import { FakeClock } from '../../support/clock.ts';

/** A circuit whose probes a test answers by hand. */
class World {
  readonly clock = new FakeClock();
  readonly states: CircuitState[] = [];
  readonly startedAt: number[] = [];
  readonly #probes: ((succeeded: boolean) => void)[] = [];
  readonly circuit = new Circuit({
    clock: this.clock,
    probe: () => {
      this.startedAt.push(this.clock.now());
      return new Promise((resolve) => this.#probes.push(resolve));
    },
    onChange: (state) => this.states.push(state),
  });

  get probes(): number {
    return this.#probes.length;
  }

  /** Answers the newest probe, or an older one. */
  async answer(succeeded: boolean, probe = this.probes - 1): Promise<void> {
    this.#probes[probe]?.(succeeded);
    await Promise.resolve();
    await Promise.resolve();
  }

  async comeUp(): Promise<void> {
    this.clock.advance(LONGEST_PAUSE_MS);
    await this.answer(true);
  }
}

test('it begins down, probes after the first pause, and is up when that succeeds', async () => {
  const world = new World();
  expect(world.circuit.state).toBe('down');
  world.clock.advance(FIRST_PAUSE_MS - 1);
  expect(world.probes).toBe(0);
  world.clock.advance(1);
  expect(world.probes).toBe(1);
  await world.answer(true);
  expect(world.circuit.state).toBe('up');
});

test('pauses between failed probes double up to a second', async () => {
  const world = new World();
  for (let ms = 0; ms < 6_000; ms++) {
    world.clock.advance(1);
    await world.answer(false);
  }
  const gaps = world.startedAt.map((at, index) => at - (world.startedAt[index - 1] ?? 0));
  expect(gaps).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
});

test('one late call after a long time is probed at once, and no outage if that succeeds', async () => {
  const world = new World();
  await world.comeUp();
  world.clock.advance(STEADY_MS);
  world.circuit.late();
  expect(world.circuit.state).toBe('suspect');
  expect(world.startedAt.at(-1)).toBe(world.clock.now());
  await world.answer(true);
  expect(world.states).toEqual(['up', 'suspect', 'up']);
});

test('calls that are late again and again cost one of them a second', async () => {
  const world = new World();
  await world.comeUp();
  world.clock.advance(STEADY_MS);
  let lateCalls = 0;
  const end = world.clock.now() + 20_000;
  while (world.clock.now() < end) {
    if (world.circuit.state === 'up') {
      lateCalls++;
      world.circuit.late();
    }
    await world.answer(true);
    world.clock.advance(10);
  }
  expect(lateCalls).toBeLessThanOrEqual(26);
  expect(world.states).not.toContain('down');
});

test('a suspect that answers no probe for half a second is down', async () => {
  const world = new World();
  await world.comeUp();
  world.clock.advance(STEADY_MS);
  world.circuit.late();
  while (world.circuit.state === 'suspect') {
    await world.answer(false);
    world.clock.advance(10);
  }
  expect(world.states).toEqual(['up', 'suspect', 'down']);
  expect(world.clock.now()).toBeGreaterThanOrEqual(LONGEST_PAUSE_MS + STEADY_MS + SUSPECT_MS);
});

test('a lost connection is down at once, and what the probe before it says is not heard', async () => {
  const world = new World();
  await world.comeUp();
  world.clock.advance(STEADY_MS);
  world.circuit.late();
  world.circuit.failed();
  expect(world.states).toEqual(['up', 'suspect', 'down']);
  await world.answer(true);
  expect(world.circuit.state).toBe('down');
});

test('a probe that never ends has failed when its time is over', async () => {
  const world = new World();
  world.clock.advance(FIRST_PAUSE_MS);
  world.clock.advance(PROBE_LIMIT_MS + 2 * FIRST_PAUSE_MS);
  expect(world.probes).toBe(2);
  await world.answer(true, 0);
  expect(world.circuit.state).toBe('down');
  await world.answer(true, 1);
  expect(world.circuit.state).toBe('up');
});

test('a hint has the probe sent at once, but no second beside it', () => {
  const world = new World();
  world.circuit.hint();
  world.circuit.hint();
  expect(world.probes).toBe(1);
  world.clock.advance(PROBE_LIMIT_MS - 1);
  expect(world.probes).toBe(1);
});

test('when it is over nothing is asked, probed or left to be done', async () => {
  const world = new World();
  await world.comeUp();
  world.circuit[Symbol.dispose]();
  world.circuit.late();
  world.circuit.failed();
  world.circuit.hint();
  expect(world.circuit.state).toBe('down');
  expect(world.clock.pending).toBe(0);
});

const moves = fc.array(
  fc.oneof(
    fc.record({ move: fc.constantFrom('late' as const, 'failed' as const, 'hint' as const) }),
    fc.record({ move: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 2_000 }) }),
    fc.record({ move: fc.constant('answer' as const), succeeded: fc.boolean(), back: fc.integer({ min: 0, max: 2 }) }),
  ),
  { maxLength: 60 },
);

test('whatever happens, there is one probe at most, and it comes up once Redis answers', async () => {
  await fc.assert(
    fc.asyncProperty(moves, async (sequence) => {
      const world = new World();
      for (const step of sequence) {
        const { state } = world.circuit;
        const told = world.states.length;
        if (step.move === 'advance') world.clock.advance(step.ms);
        else if (step.move === 'answer') await world.answer(step.succeeded, world.probes - 1 - step.back);
        else world.circuit[step.move]();
        expect(world.circuit.state).toBe(world.states.at(-1) ?? 'down');
        if (world.states.length === told) expect(world.circuit.state).toBe(state);
        // Of the pause or of the probe: never both, and never none while Redis is not asked.
        expect(world.clock.pending).toBe(world.circuit.state === 'up' ? 0 : 1);
      }
      const end = world.clock.now() + PROBE_LIMIT_MS + 2 * LONGEST_PAUSE_MS;
      while (world.circuit.state !== 'up' && world.clock.now() < end) {
        await world.answer(true);
        world.clock.advance(50);
      }
      expect(world.circuit.state).toBe('up');
      for (let index = 1; index < world.states.length; index++) expect(world.states[index]).not.toBe(world.states[index - 1]);
    }),
    { numRuns: 300 },
  );
});
