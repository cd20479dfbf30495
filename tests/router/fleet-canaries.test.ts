import { beforeEach, describe, expect, it } from 'vitest';
import { Fault } from '../../proto/contract/faults.ts';
import { Ended, Progress, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { FinishReason, NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { CANARY_LIMIT_MS } from '../../router/fleet/canary.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { REPORT_INTERVAL_MS } from '../../router/fleet/lease.ts';
import type { FleetEvent } from '../../telemetry/events.ts';
import { FakeClock, seeded } from '../support/clock.ts';
import type { FakeLink } from './fakes.ts';
import { fakeLink } from './fakes.ts';

const model = ServedModel.fromPartial({ name: 'm', slots: 2, contextLength: 100 });
const ANSWER_MS = 200;

let clock: FakeClock;
let fleet: Fleet;
let told: FleetEvent[];
let nodes: TestNode[];
let changes: number;

/** Reports each second; answers work while it is well. */
class TestNode {
  readonly fake: FakeLink;
  wedged = false;
  fails = false;
  report: Partial<Report> = { state: NodeState.NODE_STATE_SERVING };
  /** When work came. */
  readonly askedAt: number[] = [];
  #taken = 0;
  #unanswered: { request: number; epoch: number; cancelled: boolean }[] = [];

  constructor(id = 'n', epoch = 1) {
    this.fake = fakeLink(id, epoch, clock.now());
    fleet.join(this.fake.link, () => {});
    fleet.inventory(this.fake.link, [model]);
    this.say();
    nodes.push(this);
  }

  get link() {
    return this.fake.link;
  }

  say(): void {
    if (fleet.get(this.link.id) === this.link) fleet.report(this.link, Report.fromPartial(this.report));
  }

  /** Takes what came, and answers after a while. */
  work(): void {
    const sent = this.fake.sent.slice(this.#taken);
    this.#taken = this.fake.sent.length;
    for (const frame of sent) {
      if (frame.$case === 'work' && frame.value.canary) {
        this.askedAt.push(clock.now());
        const asked = { request: frame.value.request, epoch: frame.value.epoch, cancelled: false };
        this.#unanswered.push(asked);
        clock.after(ANSWER_MS, () => this.answer());
      }
      if (frame.$case === 'cancel')
        for (const one of this.#unanswered) if (one.request === frame.value.request) one.cancelled = true;
    }
  }

  /** Whatever it still owes, unless its engine stands still. */
  answer(): void {
    if (this.wedged) return;
    for (const { request, epoch, cancelled } of this.#unanswered.splice(0)) {
      const data = Buffer.from([0, 0, 0, 0, 0]);
      const piece = { request: [request], epoch: [epoch], seq: [0], tokens: [1], size: [data.length], data };
      const failed = this.fails || cancelled;
      const reason = cancelled ? 'CANCELLED' : 'ENGINE_FAILED';
      const ended = failed
        ? { outcome: { $case: 'failure' as const, value: { code: 13, reason, message: 'x' } } }
        : { tokens: 1, outcome: { $case: 'finish' as const, value: { reason: FinishReason.FINISH_REASON_LENGTH } } };
      this.link.progress(
        Progress.fromPartial({ ...(failed ? {} : piece), ended: [Ended.fromPartial({ request, epoch, ...ended })] }),
      );
    }
  }
}

beforeEach(() => {
  clock = new FakeClock();
  told = [];
  nodes = [];
  changes = 0;
  fleet = new Fleet(clock, (event) => told.push(event), seeded(7));
  fleet.onChange(() => changes++);
  clock.every(REPORT_INTERVAL_MS, () => {
    for (const node of nodes) node.say();
  });
  clock.every(10, () => {
    for (const node of nodes) node.work();
  });
});

const troubleOf = (node: TestNode) => fleet.candidates().find((candidate) => candidate.node === node.link.id)?.trouble;
const claim = (node: TestNode) => fleet.claim(node.link.id, { model: 'm', promptTokens: 1, outputTokens: 1 });
const types = () => told.map(({ type }) => type).filter((type) => type.endsWith('wedged'));

/** Lets time pass until it holds. @returns how long that took */
function until(holds: () => boolean, limitMs = 120_000): number {
  const from = clock.now();
  while (!holds()) {
    if (clock.now() - from > limitMs) throw new Error('it did not come to that');
    clock.advance(10);
  }
  return clock.now() - from;
}

describe('an idle node', () => {
  it('is asked for one token within 10 s, as work of the router, and is well when it answers', () => {
    const node = new TestNode();
    clock.advance(10_000);
    const [work] = node.fake.frames('work');
    expect(work).toMatchObject({ canary: true, maxTokens: 1, model: 'm', deadlineMs: CANARY_LIMIT_MS, traceparent: '' });
    expect(work?.messages).toHaveLength(1);
    clock.advance(CANARY_LIMIT_MS + 100);
    expect(troubleOf(node)).toBeUndefined();
    expect(node.link.attempts).toBe(0);
    expect(types()).toEqual([]);
  });

  it('that gives nothing is out within 15 s, also for who asks what the fleet is like', () => {
    const node = new TestNode();
    node.wedged = true;
    expect(until(() => troubleOf(node) === 'wedged')).toBeLessThanOrEqual(15_000);
    expect(node.link.state).toBe(NodeState.NODE_STATE_SUSPECT);
    expect(told).toContainEqual({ type: 'node_wedged', node: 'n', model: 'm', silentMs: expect.any(Number) });
    expect(node.fake.frames('cancel')).toHaveLength(1);
  });

  it('whose engine fails is out at once', () => {
    const node = new TestNode();
    node.fails = true;
    expect(until(() => troubleOf(node) === 'wedged')).toBeLessThanOrEqual(10_000 + 2 * ANSWER_MS);
  });

  it('that makes vectors is not asked: it has no token to give', () => {
    const node = new TestNode();
    fleet.inventory(node.link, [ServedModel.fromPartial({ ...model, tasks: ['embed'] })]);
    clock.advance(120_000);
    expect(node.askedAt).toEqual([]);
    expect(node.link.state).toBe(NodeState.NODE_STATE_SERVING);
  });

  it('is asked less often the longer it is well, but each minute', () => {
    const node = new TestNode();
    clock.advance(600_000);
    const gaps = node.askedAt.map((at, i) => at - (node.askedAt[i - 1] ?? 0));
    for (const [i, most] of [10_000, 20_000, 40_000, 60_000, 60_000].entries()) {
      expect(gaps[i]).toBeLessThanOrEqual(most + ANSWER_MS);
      expect(gaps[i]).toBeGreaterThan(0.75 * most);
    }
  });

  it('of many is not asked in the same moment as the others', () => {
    const many = Array.from({ length: 50 }, (_, i) => new TestNode(`n${i}`));
    clock.advance(10_000);
    const moments = new Set(many.map(({ askedAt }) => Math.floor((askedAt[0] ?? 0) / 100)));
    expect(moments.size).toBeGreaterThan(10);
  });
});

describe('a wedged node', () => {
  let node: TestNode;
  beforeEach(() => {
    node = new TestNode();
    node.wedged = true;
    until(() => troubleOf(node) === 'wedged');
  });

  it('is asked again, less and less often, and is in again when it answers; who waits then looks again', () => {
    clock.advance(100_000);
    const gaps = node.askedAt.slice(1).map((at, i) => at - (node.askedAt[i] as number));
    expect(gaps.length).toBeGreaterThan(3);
    expect(gaps.at(-1)).toBeGreaterThan(gaps[0] as number);
    node.wedged = false;
    const before = changes;
    expect(until(() => troubleOf(node) === undefined)).toBeLessThanOrEqual(30_000 + 2 * ANSWER_MS);
    expect(changes).toBeGreaterThan(before);
    expect(types()).toEqual(['node_wedged', 'node_unwedged']);
    expect(node.link.state).toBe(NodeState.NODE_STATE_SERVING);
  });

  it('is asked at once when its engine lets go of what it was asked', () => {
    clock.advance(40_000);
    node.wedged = false;
    node.answer();
    expect(until(() => troubleOf(node) === undefined)).toBeLessThan(2 * ANSWER_MS + 200);
  });

  it('that recovers begins anew', () => {
    node.report = { state: NodeState.NODE_STATE_RECOVERING };
    node.say();
    clock.advance(200);
    expect(troubleOf(node)).toBeUndefined();
    expect(node.link.state).toBe(NodeState.NODE_STATE_RECOVERING);
  });

  it('that leaves is lost with no request of a client', () => {
    fleet.leave(node.link, 'disconnected');
    node.link.close(new Fault('NODE_LOST', 'x'), () => {});
    expect(told.at(-1)).toMatchObject({ type: 'node_left', lost: 0 });
  });
});

describe('a node that works', () => {
  it('is not asked while a request runs there, however long that gives nothing', () => {
    const node = new TestNode();
    using _claim = claim(node);
    clock.advance(60_000);
    expect(node.askedAt).toEqual([]);
  });

  it('is not asked while it works for another router', () => {
    const node = new TestNode();
    node.report = { state: NodeState.NODE_STATE_SERVING, loads: [{ model: 'm', freeSlots: 1, running: 1 } as never] };
    node.say();
    clock.advance(60_000);
    expect(node.askedAt).toEqual([]);
  });

  it.each([NodeState.NODE_STATE_LOADING, NodeState.NODE_STATE_RECOVERING, NodeState.NODE_STATE_DRAINING])(
    'on its state (%d) is not asked',
    (state) => {
      const node = new TestNode();
      node.report = { state };
      node.say();
      clock.advance(60_000);
      expect(node.askedAt).toEqual([]);
    },
  );

  it('is asked again 10 s after the last token, though it was idle for long before', () => {
    const node = new TestNode();
    clock.advance(300_000);
    const one = claim(node);
    one.delivered(1);
    one[Symbol.dispose]();
    const asked = node.askedAt.length;
    expect(until(() => node.askedAt.length > asked)).toBeLessThanOrEqual(10_000);
  });

  it('has its canary cancelled before a request is sent, and is not judged by it', () => {
    const node = new TestNode();
    node.wedged = true;
    until(() => node.askedAt.length === 1);
    const [work] = node.fake.frames('work');
    using _claim = claim(node);
    expect(node.fake.sent.at(-1)).toMatchObject({ $case: 'cancel', value: { request: work?.request } });
    clock.advance(20_000);
    expect(types()).toEqual([]);
  });

  it('is asked at once after a request stalled there, though others run, and out 5 s later', () => {
    const node = new TestNode();
    new TestNode('other');
    using _running = claim(node);
    clock.advance(60_000);
    node.wedged = true;
    fleet.breakers.started('n', 'm').failed('stall');
    expect(until(() => troubleOf(node) === 'wedged')).toBeLessThanOrEqual(CANARY_LIMIT_MS + 200);
  });

  it('without a free slot is not asked even so', () => {
    const node = new TestNode();
    using _one = claim(node);
    using _two = claim(node);
    fleet.breakers.started('n', 'm').failed('stall');
    clock.advance(20_000);
    expect(node.askedAt).toEqual([]);
  });
});

it('a router that stood still while the answer came does not take the node for wedged', () => {
  const node = new TestNode();
  until(() => node.askedAt.length === 1);
  node.wedged = true;
  clock.jump(30_000);
  node.wedged = false;
  node.answer();
  clock.advance(1000);
  expect(types()).toEqual([]);
});
