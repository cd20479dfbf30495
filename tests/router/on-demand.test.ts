import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ModelProgress } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelStage, Report } from '../../proto/gen/infermesh/v1/link.ts';
import type { ModelLoad } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState, NodeState, PressureLevel, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import type { FleetEvent } from '../../telemetry/events.ts';
import { FakeClock } from '../support/clock.ts';
import type { FakeLink } from './fakes.ts';
import { fakeLink } from './fakes.ts';

const SLOTS = 4;
const LOAD_MS = 8000;
const model = ServedModel.fromPartial({ name: 'm', slots: SLOTS, contextLength: 100 });
const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_LOADING: LOADING, MODEL_STATE_SERVING: SERVING } = ModelState;

let clock: FakeClock;
let fleet: Fleet;
let told: FleetEvent[];

beforeEach(() => begin());

function begin(): void {
  clock = new FakeClock();
  told = [];
  fleet = new Fleet(clock, (event) => told.push(event));
}

/** A node with one model, which it has not in memory. */
class TestNode {
  readonly fake: FakeLink;
  readonly id: string;

  constructor(id = 'n', served = model) {
    this.id = id;
    this.fake = fakeLink(id, 1, clock.now());
    fleet.join(this.fake.link, () => {});
    fleet.inventory(this.fake.link, [served]);
    this.says(LOADABLE);
  }

  says(state: ModelState, load: Partial<ModelLoad> = {}, report: Parameters<typeof Report.fromPartial>[0] = {}): void {
    const loads = [{ model: 'm', state, loadMs: LOAD_MS, freeSlots: state === SERVING ? SLOTS : 0, ...load }];
    fleet.report(this.fake.link, Report.fromPartial({ state: NodeState.NODE_STATE_SERVING, loads, ...report }));
  }

  get commands() {
    return this.fake.frames('modelCommand');
  }

  /** What became of its last command. */
  answers(progress: Partial<ModelProgress>): void {
    const { command = 0 } = this.commands.at(-1) ?? {};
    const stage = ModelStage.MODEL_STAGE_UNSPECIFIED;
    this.fake.link.commands.progressed({ command, stage, fraction: 0, failure: undefined, ...progress });
  }

  done(): void {
    this.answers({ stage: ModelStage.MODEL_STAGE_DONE });
  }

  fails(reason = 'NO_ROOM'): void {
    this.answers({ failure: { code: 8, reason, message: 'no room', retryAfterMs: 0 } });
  }

  leaves(): void {
    fleet.leave(this.fake.link, 'disconnected');
    const fault = { reason: 'NODE_LOST' } as never;
    this.fake.link.close(fault, () => {});
  }

  get candidate() {
    return fleet.candidates().find(({ node }) => node === this.id);
  }
}

/** Time in which the nodes go on to say what they said last. */
function pass(ms: number, ...nodes: readonly TestNode[]): void {
  for (let left = ms; left > 0; left -= 1000) {
    clock.advance(Math.min(left, 1000));
    for (const node of nodes) node.says(node.fake.link.loadOf('m')?.state ?? LOADABLE);
  }
}

/** Promises that have been settled are heard of. */
const heard = () => new Promise<void>((resolve) => setImmediate(resolve));
const want = (node: TestNode, waiting = 1) => fleet.onDemand.wanted(node.id, 'm', waiting);

describe('a model that is not in memory', () => {
  it('has no slot, and costs the time that loading it took the last time', () => {
    const cold = { readyMs: LOAD_MS, soonestMs: LOAD_MS, loading: false, refused: undefined };
    expect(new TestNode().candidate).toMatchObject({ state: NodeState.NODE_STATE_SERVING, freeSlots: 0, running: 0, cold });
  });

  it('costs what its size makes probable where that is unknown, which rules nothing out', () => {
    const node = new TestNode('n', { ...model, memoryBytes: 3_000_000_000 });
    node.says(LOADABLE, { loadMs: 0 });
    expect(node.candidate?.cold).toMatchObject({ readyMs: 11_000, soonestMs: 0 });
  });

  it('is loaded when somebody waits for it, once', () => {
    const node = new TestNode();
    want(node);
    want(node, 3);
    const value = { model: 'm', pull: false, onDemand: true };
    expect(node.commands).toMatchObject([{ command: 1, action: { $case: 'load', value } }]);
    expect(told).toContainEqual({ type: 'model_wanted', node: 'n', model: 'm', waiting: 1 });
  });

  it('is nearer the longer it has been loading, and never promised', () => {
    const node = new TestNode();
    want(node);
    clock.advance(3000);
    expect(node.candidate?.cold).toMatchObject({ readyMs: LOAD_MS - 3000, soonestMs: 0, loading: true });
    node.says(LOADING);
    pass(20_000, node);
    expect(node.candidate).toMatchObject({ state: NodeState.NODE_STATE_SERVING, cold: { readyMs: LOAD_MS / 10, loading: true } });
  });

  it('is a model like any other when the node serves it', async () => {
    const node = new TestNode();
    want(node);
    pass(5000, node);
    node.says(SERVING);
    node.done();
    await heard();
    expect(node.candidate).toMatchObject({ freeSlots: SLOTS });
    expect(node.candidate?.cold).toBeUndefined();
    expect(told.at(-1)).toEqual({ type: 'model_came', node: 'n', model: 'm', ms: 5000 });
  });

  it('is not asked for again while the report that it is there is still on its way', async () => {
    const node = new TestNode();
    want(node);
    node.done();
    await heard();
    want(node);
    expect(node.candidate?.cold?.loading).toBe(true);
    expect(node.commands).toHaveLength(1);
    clock.advance(2000);
    want(node);
    expect(node.commands).toHaveLength(2);
  });

  it('is waited for while its engine, which died on the way, is started again', () => {
    const node = new TestNode();
    want(node);
    node.says(ModelState.MODEL_STATE_RECOVERING);
    expect(node.candidate).toMatchObject({ state: NodeState.NODE_STATE_SERVING, cold: { loading: true } });
  });

  it('that another router has asked for is waited for too', () => {
    const node = new TestNode();
    node.says(LOADING);
    clock.advance(1000);
    want(node);
    expect(node.candidate?.cold).toMatchObject({ readyMs: LOAD_MS - 1000, loading: true });
    expect(node.commands).toEqual([]);
  });

  it('that is loaded as its node starts is not there yet, as ever', () => {
    const node = new TestNode();
    const fresh = fakeLink('fresh', 1, clock.now());
    fleet.join(fresh.link, () => {});
    fleet.inventory(fresh.link, [model]);
    const loads = [{ model: 'm', state: LOADING, loadMs: LOAD_MS }];
    fleet.report(fresh.link, Report.fromPartial({ state: NodeState.NODE_STATE_SERVING, loads }));
    const seen = fleet.candidates().find(({ node }) => node === 'fresh');
    expect(seen).toMatchObject({ state: NodeState.NODE_STATE_LOADING, alone: true, returning: false });
    expect(seen?.cold).toBeUndefined();
    expect(node.candidate?.cold).toBeDefined();
  });
});

describe('of several nodes that could load it', () => {
  it('one does, as long as it has slots for all who wait', () => {
    const [one, other] = [new TestNode('one'), new TestNode('other')];
    want(one);
    want(other, SLOTS);
    expect(other.commands).toEqual([]);
    want(other, SLOTS + 1);
    expect(other.commands).toHaveLength(1);
  });

  it('the other does when the first has been at it for far too long', () => {
    const [one, other] = [new TestNode('one'), new TestNode('other')];
    want(one);
    one.says(LOADING);
    pass(600_000, one, other);
    want(other);
    expect(other.commands).toEqual([]);
    pass(1000, one, other);
    expect(one.candidate?.cold).toMatchObject({ loading: false, refused: 'has been loading for 10 min' });
    want(one);
    want(other);
    expect([one.commands, other.commands].map(({ length }) => length)).toEqual([1, 1]);
    one.says(SERVING);
    expect(one.candidate?.cold).toBeUndefined();
  });

  it('the other does when the first can not', async () => {
    const [one, other] = [new TestNode('one'), new TestNode('other')];
    want(one);
    one.fails();
    await heard();
    want(other);
    expect(other.commands).toHaveLength(1);
  });
});

describe('a load that failed', () => {
  it('is not tried again for a while, longer each time, and says so', async () => {
    const node = new TestNode();
    for (const restMs of [2000, 4000, 8000]) {
      want(node);
      node.fails();
      await heard();
      expect(told.at(-1)).toEqual({ type: 'model_not_loaded', node: 'n', model: 'm', reason: 'NO_ROOM', restMs });
      expect(node.candidate?.cold?.refused).toMatch(/^could not be loaded \(NO_ROOM\); it is tried again in \d s$/);
      pass(restMs - 1, node);
      want(node);
      expect(node.candidate?.cold?.refused).toBeDefined();
      pass(1, node);
    }
    expect(node.commands).toHaveLength(3);
    want(node);
    expect(node.commands).toHaveLength(4);
  });

  it.each([
    ['NO_ROOM', 30_000],
    ['ENGINE_FAILED', 300_000],
  ])('for %s is tried again after %d ms at the latest', async (reason, mostMs) => {
    const node = new TestNode();
    for (let failures = 0; failures < 10; failures++) {
      want(node);
      node.fails(reason);
      await heard();
      pass(mostMs, node);
    }
    expect(node.commands).toHaveLength(10);
    expect(told.at(-1)).toMatchObject({ type: 'model_not_loaded', restMs: mostMs });
  });

  it('rests for as long as its node asks for', async () => {
    const node = new TestNode();
    want(node);
    node.answers({ failure: { code: 8, reason: 'NO_ROOM', message: 'no room', retryAfterMs: 30_000 } });
    await heard();
    expect(told.at(-1)).toMatchObject({ type: 'model_not_loaded', restMs: 30_000 });
  });

  it('is forgotten once the model has been in memory', async () => {
    const node = new TestNode();
    want(node);
    node.fails();
    await heard();
    clock.advance(2000);
    node.says(SERVING);
    node.says(LOADABLE);
    want(node);
    node.fails();
    await heard();
    expect(told.at(-1)).toMatchObject({ restMs: 2000 });
  });

  it('is one of which the node says nothing more', async () => {
    const node = new TestNode();
    want(node);
    node.says(LOADING);
    pass(70_000, node);
    node.says(LOADABLE);
    pass(60_000, node);
    await heard();
    expect(told.at(-1)).toMatchObject({ type: 'model_not_loaded', reason: 'NODE_STALLED' });
  });

  it('with its node is not held against who comes back', async () => {
    const node = new TestNode();
    want(node);
    node.leaves();
    await heard();
    expect(told.map(({ type }) => type)).not.toContain('model_not_loaded');
    const again = new TestNode();
    want(again);
    expect(again.commands).toHaveLength(1);
  });
});

it('a node that is short of memory loads nothing', () => {
  const node = new TestNode();
  node.says(LOADABLE, {}, { pressure: { level: PressureLevel.PRESSURE_LEVEL_HIGH } });
  want(node);
  expect(node.candidate?.cold?.refused).toBe('the node is short of memory');
  expect(node.commands).toEqual([]);
});

type Step = readonly [what: 'wait' | 'want' | 'done' | 'fail' | 'load' | 'serve' | 'unload', node: number, size: number];
const step = fc.tuple(
  fc.constantFrom<Step[0]>('wait', 'want', 'want', 'done', 'fail', 'load', 'serve', 'unload'),
  fc.nat(2),
  fc.integer({ min: 1, max: 12 }),
);

/** What the commands of one node came to, beside the machine that is tested. */
class Witness {
  readonly node: TestNode;
  open = 0;
  ended = 0;
  failures = 0;
  restsUntil = 0;

  constructor(node: TestNode) {
    this.node = node;
  }

  /** It may have been told to load once, and only if it had nothing to do and did not rest. */
  check(): void {
    const fresh = this.node.commands.length - this.open - this.ended;
    expect(fresh).toBeLessThanOrEqual(1);
    if (fresh === 0) return;
    expect(this.open).toBe(0);
    expect(clock.now()).toBeGreaterThanOrEqual(this.restsUntil);
    this.open = 1;
  }

  end(failed: boolean): void {
    if (this.open === 0) return;
    this.open = 0;
    this.ended++;
    if (!failed) {
      this.failures = 0;
      return this.node.done();
    }
    this.restsUntil = clock.now() + Math.min(300_000, 2000 * 2 ** this.failures++);
    this.node.fails('ENGINE_FAILED');
  }
}

describe('whatever happens', () => {
  it('no node is told twice at a time, none while it rests, and none is forgotten', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        begin();
        const witnesses = ['a', 'b', 'c'].map((id) => new Witness(new TestNode(id)));
        for (const [what, index, size] of steps) {
          const witness = witnesses[index] as Witness;
          const { node } = witness;
          if (what === 'want') {
            const coming = witnesses.filter((one) => one.node.candidate?.cold?.loading).length * SLOTS;
            const before = node.commands.length;
            want(node, size);
            if (coming >= size) expect(node.commands).toHaveLength(before);
            witness.check();
          } else if (what === 'wait') pass(size * 500, ...witnesses.map((one) => one.node));
          else if (what === 'done' || what === 'fail') witness.end(what === 'fail');
          else if (what === 'load') node.says(LOADING);
          else if (what === 'unload') node.says(LOADABLE);
          else {
            node.says(SERVING);
            witness.failures = 0;
          }
          await heard();
        }
        await expectNoneIsStuck(witnesses);
      }),
      { numRuns: 150 },
    );
  });
});

/** Once everything has ended and rested, each node can be told again. */
async function expectNoneIsStuck(witnesses: readonly Witness[]): Promise<void> {
  for (const witness of witnesses) witness.end(false);
  await heard();
  for (const { node } of witnesses) node.says(LOADABLE);
  pass(305_000, ...witnesses.map(({ node }) => node));
  for (const { node } of witnesses) {
    const before = node.commands.length;
    want(node, 1000);
    expect(node.commands).toHaveLength(before + 1);
  }
}
