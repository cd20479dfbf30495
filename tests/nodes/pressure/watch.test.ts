import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { PressureWatch } from '../../../nodes/pressure/watch.ts';
import type { GpuUse } from '../../../proto/gen/infermesh/v1/types.ts';
import { ModelState, PressureLevel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent } from '../../../telemetry/events.ts';
import { FakeClock } from '../../support/clock.ts';

const GIB = 2 ** 30;
const { MODEL_STATE_SERVING: SERVING, MODEL_STATE_DRAINING: DRAINING, MODEL_STATE_LOADABLE: LOADABLE } = ModelState;

interface FakeModel {
  readonly name: string;
  readonly memoryBytes: number;
  state: ModelState;
  running: number;
}

/** A machine of 100 GiB with some models; others take `others` of it. Unloading a model takes 1.5 s. */
class FakeNode {
  readonly clock = new FakeClock();
  readonly models: FakeModel[];
  readonly events: NodeEvent[] = [];
  readonly held: (string | undefined)[] = [];
  readonly unloaded: { readonly name: string; readonly running: number; readonly steps: readonly string[] }[] = [];
  others = 0;
  readonly gpus = { uses: [] as GpuUse[] };
  reports = 0;
  refuses = false;
  readonly watch: PressureWatch;

  constructor(sizes: Record<string, number>, gpus: readonly { memoryBytes: number }[] = []) {
    this.models = Object.entries(sizes).map(([name, gib]) => ({ name, memoryBytes: gib * GIB, state: SERVING, running: 0 }));
    this.watch = new PressureWatch({
      marks: { low: 0.75, high: 0.85, critical: 0.95 },
      memory: () => [{ usedBytes: this.used, limitBytes: 100 * GIB, stalled: 0 }],
      hardware: { gpus },
      gpus: this.gpus,
      shelf: this.#shelf(),
      drainMs: 30_000,
      tell: (event) => this.events.push(event),
      now: () => this.clock.now(),
      every: (ms, run) => this.clock.every(ms, run),
    });
    this.watch.onChange(() => this.reports++);
  }

  #shelf(): ConstructorParameters<typeof PressureWatch>[0]['shelf'] {
    const node = this;
    return {
      get models() {
        // Of what the shelf tells, what is looked at here.
        const served = { sizeBytes: GIB, gpuShare: 1 };
        return node.models.map((model) => ({ ...model, remote: false, lastUsedAt: 0, served })) as never;
      },
      hold: (why) => node.held.push(why),
      unload: (name) => node.#unload(name),
    };
  }

  async #unload(name: string): Promise<void> {
    if (this.refuses) throw new Error('refused');
    const model = this.models.find((one) => one.name === name)!;
    this.unloaded.push({ name, running: model.running, steps: this.watch.report.steps });
    model.state = DRAINING;
    await new Promise<void>((done) => this.clock.after(1500, done));
    model.state = LOADABLE;
  }

  get used(): number {
    const present = this.models.filter(({ state }) => state !== LOADABLE);
    return this.others + present.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  }

  async seconds(count: number): Promise<void> {
    for (let second = 0; second < count; second++) {
      this.clock.advance(1000);
      await new Promise(setImmediate);
    }
  }

  get steps(): readonly string[] {
    return this.watch.report.steps;
  }
}

describe('a node that runs short of memory', () => {
  test('unloads the largest idle model, tells routers and the log, and holds what would be loaded on demand', async () => {
    const node = new FakeNode({ small: 10, large: 30, busy: 40 });
    node.models[2]!.running = 3;
    node.others = 6 * GIB;
    await node.seconds(7);
    expect(node.unloaded).toEqual([{ name: 'large', running: 0, steps: ['unload'] }]);
    expect(node.events).toEqual([
      { type: 'pressure_step', step: 'unload', level: 'high', usedBytes: 86 * GIB, limitBytes: 100 * GIB, model: 'large' },
    ]);
    expect(node.held).toEqual(['the node is short of memory']);
    expect(node.reports).toBe(1);
    expect(node.watch.report).toEqual({
      level: PressureLevel.PRESSURE_LEVEL_HIGH,
      use: 0.56,
      limitBytes: 100 * GIB,
      steps: ['unload'],
    });
    await node.seconds(12);
    expect(node.events.at(-1)).toMatchObject({ type: 'pressure_step_back', step: 'unload', level: 'none' });
    expect(node.held.at(-1)).toBeUndefined();
    node.watch.stop();
    expect(node.clock.pending).toBe(0);
  });

  test('goes on to the next step when a model cannot be unloaded after all', async () => {
    const node = new FakeNode({ a: 10, b: 10 });
    node.refuses = true;
    node.others = 70 * GIB;
    await node.seconds(4);
    node.models[0]!.running = 1;
    node.models[1]!.running = 1;
    await node.seconds(4);
    expect(node.steps).toEqual(['unload', 'smaller-tier']);
  });

  test('refuses new work over the critical mark, and keeps its last model until it is idle', async () => {
    const node = new FakeNode({ only: 40 });
    node.models[0]!.running = 1;
    node.others = 56 * GIB;
    await node.seconds(3);
    expect([node.steps, node.watch.sheds, node.unloaded]).toEqual([['smaller-tier', 'shed'], true, []]);
    node.models[0]!.running = 0;
    await node.seconds(20);
    expect(node.unloaded).toMatchObject([{ name: 'only' }]);
    await node.seconds(30);
    expect([node.steps, node.watch.sheds]).toEqual([[], false]);
  });

  test('tells of memory of a GPU where that alone is short, and unloads there', async () => {
    const node = new FakeNode({ a: 1, b: 2 }, [{ memoryBytes: 80 * GIB }]);
    node.gpus.uses = [{ memoryUsedBytes: 79.9 * GIB }];
    await node.seconds(5);
    expect(node.watch.report).toMatchObject({ limitBytes: 80 * GIB, steps: ['unload'] });
    expect(node.watch.report.use).toBeCloseTo(79.9 / 80, 9);
    expect(node.unloaded).toMatchObject([{ name: 'a' }]);
    node.others = 95 * GIB;
    await node.seconds(1);
    expect(node.watch.report.limitBytes).toBe(100 * GIB);
  });
});

test('whatever comes: no busy model goes, the last one only from a node that sheds, and with memory free all is as before', async () => {
  const change = fc.record({
    seconds: fc.integer({ min: 1, max: 25 }),
    others: fc.integer({ min: 0, max: 100 }),
    running: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 3, maxLength: 3 }),
    loads: fc.constantFrom(undefined, 0, 1, 2),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      const node = new FakeNode({ a: 5, b: 10, c: 20 });
      for (const { seconds, others, running, loads } of changes) {
        node.others = others * GIB;
        for (const [at, model] of node.models.entries()) if (model.state === SERVING) model.running = running[at]!;
        // As a router does that has requests for it, unless loads are held.
        const wanted = loads === undefined ? undefined : node.models[loads];
        if (wanted?.state === LOADABLE && node.steps.length === 0) wanted.state = SERVING;
        await node.seconds(seconds);
      }
      node.others = 0;
      await node.seconds(60);
      expect(node.watch.report).toMatchObject({ level: PressureLevel.PRESSURE_LEVEL_NONE, steps: [] });
      expect(node.held.at(-1)).toBeUndefined();
      expect(node.unloaded.filter(({ running }) => running > 0)).toEqual([]);
      const steps = node.events.filter(({ type }) => type === 'pressure_step');
      const back = node.events.filter(({ type }) => type === 'pressure_step_back');
      expect(back.length).toBeLessThanOrEqual(steps.length);
      expect(node.reports).toBe(node.events.length);
      node.watch.stop();
    }),
    { seed: 6, numRuns: 60 },
  );
}, 60_000);
