/** What holds of a shelf whatever is asked of it, in whatever order. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { whoLeaves } from '../../../nodes/shelf/budget.ts';
import { ModelStage } from '../../../proto/gen/infermesh/v1/link.ts';
import { ModelState } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Asked, ModelFacts, TimedEngine } from './world.ts';
import { FakeWork, ShelfWorld } from './world.ts';

const BUDGET = 100;
const NAMES = ['a', 'b', 'c', 'd', 'far'];
const FACTS: Readonly<Record<string, ModelFacts>> = {
  a: { bytes: 30, loadMs: 100, digest: 'aa11aa11' },
  b: { bytes: 50, loadMs: 300 },
  c: { bytes: 60, loadMs: 50 },
  d: { bytes: 120 },
  far: { bytes: 0, loadMs: 400, remote: true },
  'a@bb22bb22': { bytes: 35, loadMs: 200, digest: 'bb22bb22' },
};

const name = fc.constantFrom(...NAMES);
const model = fc.constantFrom(...Object.keys(FACTS));
const limitMs = fc.constantFrom(0, 200, 5000);
const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('load' as const), model, onDemand: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unload' as const), name, limitMs }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('swap' as const), name, model, limitMs }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('begin' as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('breaks' as const), model, fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('hold' as const), held: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('free' as const), bytes: fc.constantFrom(20, 70, 1000) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 60, 400, 400, 40_000) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

class Run {
  readonly world = new ShelfWorld(Object.fromEntries(Object.entries(FACTS).map(([key, facts]) => [key, { ...facts }])), BUDGET);
  readonly asked: Asked[] = [];
  readonly works: FakeWork[] = [];
  #seen = 0;

  async does(step: Operation): Promise<void> {
    const { world } = this;
    switch (step.do) {
      case 'load':
        return void this.asked.push(world.load(step.model, { onDemand: step.onDemand }));
      case 'unload':
        return void this.asked.push(world.unload(step.name, step.limitMs));
      case 'swap':
        return void this.asked.push(world.swap(step.name, step.model, step.limitMs));
      case 'begin': {
        const work = FakeWork.begin(world, step.name);
        if (work) this.works.push(work);
        return;
      }
      case 'end':
        return this.works[step.at]?.over();
      case 'crash':
        return this.#crash(world.engines[step.at]);
      case 'breaks':
        world.facts[step.model]!.fails = step.fails;
        return;
      case 'hold':
        return world.shelf.hold(step.held ? 'memory is short' : undefined);
      case 'free':
        world.free = step.bytes;
        return;
      case 'pass':
        return world.pass(step.ms);
    }
  }

  #crash(engine: TimedEngine | undefined): void {
    if (engine?.state.type !== 'ready') return;
    engine.become({ type: 'crashed', message: 'SIGKILL', restartInMs: 10 });
    this.world.clock.after(10, () => engine.state.type === 'crashed' && engine.become({ type: 'ready', model: engine.served }));
  }

  check(): void {
    const { world } = this;
    expect(world.bytes).toBeLessThanOrEqual(BUDGET);
    for (const event of world.events.slice(this.#seen)) {
      if (event.type === 'model_unloading' && event.why === 'room') expect(event.inFlight).toBe(0);
    }
    this.#seen = world.events.length;
    for (const { engine, handedBack } of this.works.filter((work) => !work.ended)) {
      if (!handedBack) expect(engine.state.type).not.toBe('disposed');
    }
    for (const { state, current, served, name } of world.shelf.models) {
      expect(served.name).toBe(name);
      if (state === ModelState.MODEL_STATE_SERVING) expect(current?.engine.state.type).toBe('ready');
    }
    for (const { disposals } of world.engines) expect(disposals).toBeLessThanOrEqual(1);
    for (const { ends, late } of this.asked) expect([ends <= 1, late]).toEqual([true, 0]);
  }

  /** Time passes until nothing can be under way any more. */
  async settles(): Promise<void> {
    for (const facts of Object.values(this.world.facts)) facts.fails = false;
    for (const work of this.works) work.over();
    await this.world.pass(20_000);
    expect(this.asked.map(({ ends }) => ends)).toEqual(this.asked.map(() => 1));
    for (const { outcome, steps } of this.asked) {
      expect(steps.filter(({ stage }) => stage === ModelStage.MODEL_STAGE_DONE)).toHaveLength(outcome === 'done' ? 1 : 0);
    }
    const settled = [ModelState.MODEL_STATE_SERVING, ModelState.MODEL_STATE_LOADABLE];
    for (const { state } of this.world.shelf.models) expect(settled).toContain(state);
    // Those in memory are the ones that take work, and each can still be unloaded.
    const current = this.world.shelf.models.flatMap((place) => place.current?.engine ?? []);
    expect(this.world.engines.filter(({ alive }) => alive)).toEqual(expect.arrayContaining(current));
    expect(this.world.engines.filter(({ alive }) => alive)).toHaveLength(current.length);
  }

  async ends(): Promise<void> {
    await this.world.shelf.dispose();
    for (const { started, disposals } of this.world.engines) expect([started, disposals]).toEqual([true, 1]);
  }
}

it('keeps within its budget, lets nobody go who is at work, gets stuck nowhere, and ends each command and each engine once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60, size: 'max' }), async (operations) => {
      const run = new Run();
      for (const step of operations) {
        await run.does(step);
        await run.world.pass(0);
        run.check();
      }
      await run.settles();
      run.check();
      await run.ends();
    }),
    { numRuns: 200 },
  );
});

it('ends in order in the middle of anything', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 15 }), async (operations) => {
      const run = new Run();
      for (const step of operations) await run.does(step);
      await run.ends();
      await Promise.all(run.asked.map(({ done }) => done));
      expect(run.asked.every(({ ends, late }) => ends === 1 && late === 0)).toBe(true);
      expect(run.world.engines.every(({ alive }) => !alive)).toBe(true);
    }),
    { numRuns: 100 },
  );
});

it('lets those go that were used least lately, and no more than needed', () => {
  const idle = fc.record({ name: fc.string(), memoryBytes: fc.integer({ min: 1, max: 50 }), lastUsedAt: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(idle, { maxLength: 8 }), fc.integer({ min: 1, max: 200 }), (models, missing) => {
      const sum = (some: readonly { memoryBytes: number }[]) => some.reduce((bytes, { memoryBytes }) => bytes + memoryBytes, 0);
      const leaving = whoLeaves(missing, models);
      if (!leaving) expect(sum(models)).toBeLessThan(missing);
      else expect(sum(leaving)).toBeGreaterThanOrEqual(missing);
      for (const one of leaving ?? []) expect(sum(leaving ?? []) - one.memoryBytes).toBeLessThan(missing);
    }),
  );
});
