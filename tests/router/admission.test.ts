import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import { ChatRequest, Priority } from '../../proto/gen/infermesh/v1/inference.ts';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, Role, ServedModel, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { Admitted } from '../../router/admit/admission.ts';
import { Admission } from '../../router/admit/admission.ts';
import { WaitingRoom } from '../../router/admit/waiting-room.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import type { NodeLink } from '../../router/fleet/node-link.ts';
import type { Identified } from '../../router/request.ts';
import type { Ask } from '../../router/select/candidate.ts';
import { DEFAULT_POLICY } from '../../router/select/policy.ts';
import { FakeClock } from '../support/clock.ts';
import { fakeLink } from './fakes.ts';
import { classification, knowledge } from './select/builders.ts';

const RATES = { prefillTokensPerSecond: 1000, decodeTokensPerSecond: 100 };

let clock: FakeClock;
let fleet: Fleet;
let admission: Admission;
let waiting: number;

beforeEach(() => {
  clock = new FakeClock();
  fleet = new Fleet(clock, () => {});
  const ledger = { knowledge: () => knowledge(), mayExplore: () => false };
  const sessions = { last: () => undefined };
  admission = new Admission({ fleet, room: new WaitingRoom<Admitted>(clock, () => 0.5), clock, ledger, sessions });
  waiting = 0;
});

afterEach(() => fleet.stop());

function serving(id: string, epoch = 1, more: Partial<ServedModel> = {}): NodeLink {
  const { link } = fakeLink(id, epoch, clock.now());
  fleet.join(link, () => {});
  fleet.inventory(link, [ServedModel.fromPartial({ name: 'm', slots: 1, contextLength: 128, ...RATES, ...more })]);
  fleet.report(link, Report.fromPartial({ state: NodeState.NODE_STATE_SERVING }));
  return link;
}

function request(text = 'hello', deadlineMs = 60_000, target: Ask['target'] = { type: 'model', name: 'm' }): Identified {
  const now = clock.now();
  const chat = ChatRequest.fromPartial({ messages: [{ role: Role.ROLE_USER, text }] });
  const size = { promptBytes: text.length, promptTokens: text.length / 4, expectedOutputTokens: 10 };
  const needs = { target, classification: classification(), ...size, structured: false, policy: DEFAULT_POLICY, seed: 1 };
  const whose = { id: 'r', tenant: undefined, session: undefined, prefixes: [] };
  const asked = { chat, target, policy: DEFAULT_POLICY, maxTokens: 10 };
  return { ...whose, ...asked, needs, arrivedAt: now, deadlineAt: now + deadlineMs };
}

const admit = (wanted = request()) => admission.admit(wanted, new AbortController().signal, () => waiting++);
const reasonOf = (end: Promise<unknown>) =>
  end.then(
    () => 'admitted',
    (fault: Fault) => fault.reason,
  );

describe('a request that comes while others wait', () => {
  beforeEach(async () => {
    serving('n');
    await admit();
    void admit();
  });

  it('and fits no model is told so, not that the line is full', async () => {
    expect(await reasonOf(admit(request('x'.repeat(9000))))).toBe('CONTEXT_TOO_LONG');
    expect(waiting).toBe(1);
  });

  it('and has no time left is told so', async () => {
    expect(await reasonOf(admit(request('hello', 1)))).toBe('DEADLINE_EXCEEDED');
  });

  it('stands in line, up to four for each slot', async () => {
    for (let n = 0; n < 3; n++) void admit();
    expect(await reasonOf(admit())).toBe('QUEUE_FULL');
    expect(waiting).toBe(4);
  });

  it('overtakes nobody, also when a slot has come up', async () => {
    const order: string[] = [];
    const held = [admit().then(() => order.push('second')), admit().then(() => order.push('third'))];
    serving('other', 1, { slots: 3 });
    await Promise.all(held);
    expect(order).toEqual(['second', 'third']);
    const claims = fleet.candidates().map(({ running }) => running);
    expect(claims).toEqual([1, 3]);
  });
});

describe('a slot', () => {
  it('is taken by looking at it, and given to who waits when it is free', async () => {
    serving('n');
    using first = await admit();
    expect(first.chosen.candidate.node).toBe('n');
    const second = admit();
    expect(waiting).toBe(1);
    first[Symbol.dispose]();
    expect((await second).claim.link.id).toBe('n');
    expect(fleet.candidates()[0]).toMatchObject({ freeSlots: 0, running: 1 });
  });
});

describe('a request that waits for the only node with its model', () => {
  it('goes on waiting when a newer process takes the node over, and gets its slot', async () => {
    serving('n', 1);
    await admit();
    const next = admit();
    serving('n', 2);
    expect((await next).claim.link.hello.epoch).toBe(2);
  });

  it('is refused as retryable when the node is lost, and so is who comes then; later the model is unknown', async () => {
    const link = serving('n');
    await admit();
    const next = admit();
    fleet.leave(link, 'disconnected');
    expect(await reasonOf(next)).toBe('NO_NODE');
    expect(await reasonOf(admit())).toBe('NO_NODE');
    clock.advance(10_000);
    expect(await reasonOf(admit())).toBe('MODEL_NOT_FOUND');
  });
});

describe('a request that leaves the model open', () => {
  const anything = () => request('hello', 60_000, { type: 'auto' });
  const better = { name: 'better', tier: Tier.TIER_QUALITY };

  it('waits for the better model rather than going to one that is free, where that is worth the wait', async () => {
    serving('b', 1, better);
    const first = await admit(anything());
    serving('m', 1, { decodeTokensPerSecond: 0.1, prefillTokensPerSecond: 1 });
    const second = admit(anything());
    expect(waiting).toBe(1);
    first[Symbol.dispose]();
    expect((await second).chosen.candidate.model.name).toBe('better');
  });

  it('goes to the next best model when the line of the best is full, and is refused when every line is', async () => {
    serving('b', 1, better);
    await admit(anything());
    for (let n = 0; n < 4; n++) void admit(anything());
    expect(waiting).toBe(4);
    expect(await reasonOf(admit(anything()))).toBe('QUEUE_FULL');
    serving('m', 1, { decodeTokensPerSecond: 0.1, prefillTokensPerSecond: 1 });
    expect((await admit(anything())).chosen.candidate.model.name).toBe('m');
  });
});

describe('what is refused before it is classified', () => {
  const shed = (target?: ChatRequest['target'], tenant?: string, priority = Priority.PRIORITY_UNSPECIFIED as Priority) => {
    try {
      admission.shed(ChatRequest.fromPartial({ ...(target ? { target } : {}), priority }), tenant);
      return 'not yet';
    } catch (fault) {
      return (fault as Fault).reason;
    }
  };
  const of = (tenant: string) => ({ ...request(), tenant });
  let ends: readonly Promise<string>[];
  const fill = () => {
    ends = Array.from({ length: 4 }, () => reasonOf(admit(of('a'))));
  };

  it('is what finds every line full that it may stand in', async () => {
    serving('n');
    await admit();
    expect(shed(undefined, 'a')).toBe('not yet');
    fill();
    expect(shed(undefined, 'a')).toBe('QUEUE_FULL');
    expect(shed({ $case: 'model', value: 'm' }, 'a')).toBe('QUEUE_FULL');
    expect(await reasonOf(admit(of('a')))).toBe('QUEUE_FULL');
  });

  it('is nothing that may be answered by another model, or asks for one that is not there', async () => {
    serving('n');
    await admit();
    fill();
    expect(shed({ $case: 'model', value: 'unknown' }, 'a')).toBe('not yet');
    serving('other', 1, { name: 'other', tier: Tier.TIER_QUALITY });
    expect(shed(undefined, 'a')).toBe('not yet');
    expect(shed({ $case: 'tier', value: Tier.TIER_QUALITY }, 'a')).toBe('not yet');
    expect(shed({ $case: 'model', value: 'm' }, 'a')).toBe('QUEUE_FULL');
  });

  it('is nothing of a tenant that has less than its share, and nothing more urgent', async () => {
    serving('n');
    await admit();
    fill();
    expect(shed(undefined, 'b')).toBe('not yet');
    expect(shed(undefined, 'a', Priority.PRIORITY_HIGH)).toBe('not yet');
    expect(shed(undefined, 'a', Priority.PRIORITY_LOW)).toBe('QUEUE_FULL');
    void admit(of('b'));
    expect(await Promise.race(ends)).toBe('QUEUE_FULL');
    expect(waiting).toBe(5);
  });
});
