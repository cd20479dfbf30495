import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import type { NodeLink } from '../../router/fleet/node-link.ts';
import type { FleetEvent } from '../../telemetry/events.ts';
import { FakeClock } from '../support/clock.ts';
import { fakeLink } from './fakes.ts';

const SERVING = Report.fromPartial({ state: NodeState.NODE_STATE_SERVING });
const model = ServedModel.fromPartial({ name: 'm', slots: 2, contextLength: 100 });

let clock: FakeClock;
let fleet: Fleet;
let told: FleetEvent[];
let dismissed: { link: NodeLink; fault: Fault }[];
let changes: number;

beforeEach(() => {
  clock = new FakeClock();
  told = [];
  dismissed = [];
  changes = 0;
  fleet = new Fleet(clock, (event) => told.push(event));
  fleet.onDismissed = (link, fault) => dismissed.push({ link, fault });
  fleet.onChange(() => changes++);
});

const types = () => told.map(({ type }) => type);

function join(id = 'n', epoch = 1): NodeLink {
  const { link } = fakeLink(id, epoch, clock.now());
  fleet.join(link, (old, fault) => dismissed.push({ link: old, fault }));
  return link;
}

function serving(id = 'n', epoch = 1): NodeLink {
  const link = join(id, epoch);
  fleet.inventory(link, [model]);
  fleet.report(link, SERVING);
  return link;
}

describe('a node that joins', () => {
  it('is loading until it says that it serves, and then a candidate', () => {
    const link = join();
    expect(link.state).toBe(NodeState.NODE_STATE_LOADING);
    expect(fleet.candidates()).toEqual([]);
    fleet.inventory(link, [model]);
    fleet.report(link, SERVING);
    expect(fleet.candidates()).toMatchObject([{ node: 'n', state: NodeState.NODE_STATE_SERVING, freeSlots: 2, running: 0 }]);
  });

  it('with a newer epoch fences the older', () => {
    const older = serving('n', 1);
    const newer = join('n', 2);
    expect(fleet.get('n')).toBe(newer);
    expect(dismissed).toMatchObject([{ link: older, fault: { reason: 'FENCED' } }]);
    expect(types()).toContain('node_fenced');
  });

  it('with an older epoch is itself fenced', () => {
    const newer = join('n', 2);
    expect(() => join('n', 1)).toThrow(expect.objectContaining({ reason: 'FENCED' }));
    expect(fleet.get('n')).toBe(newer);
    expect(dismissed).toEqual([]);
  });

  it('again with the same epoch takes the place of its former stream, whose end changes nothing', () => {
    const before = join('n', 1);
    const now = join('n', 1);
    fleet.leave(before, 'disconnected');
    expect(fleet.get('n')).toBe(now);
  });
});

describe('the models of a node that left', () => {
  const names = () => fleet.candidates().map(({ node, state, freeSlots }) => [node, state, freeSlots]);
  const missing = ['n', NodeState.NODE_STATE_SUSPECT, 0];

  it.each(['goodbye', 'disconnected', 'expired', 'protocol_error'] as const)(
    'are known for 10 s, though nobody serves them (%s)',
    (reason) => {
      fleet.leave(serving(), reason);
      expect(names()).toEqual([missing]);
      expect(fleet.candidates()[0]?.returning).toBe(true);
      clock.advance(9999);
      expect(names()).toEqual([missing]);
      clock.advance(1);
      expect(names()).toEqual([]);
    },
  );

  it('are known until it is back', () => {
    fleet.leave(serving(), 'disconnected');
    const link = join('n', 2);
    expect(names()).toEqual([missing]);
    fleet.inventory(link, [model]);
    fleet.report(link, SERVING);
    expect(names()).toEqual([['n', NodeState.NODE_STATE_SERVING, 2]]);
  });

  it('are never missing between an older process and the newer that takes its place', () => {
    serving('n', 1);
    const seen: number[] = [];
    fleet.onChange(() => seen.push(fleet.candidates().filter(({ freeSlots }) => freeSlots > 0).length));
    serving('n', 2);
    expect(seen).toEqual([1]);
  });
});

describe('a node that is out of service', () => {
  it.each([
    [NodeState.NODE_STATE_LOADING, false, true],
    [NodeState.NODE_STATE_RECOVERING, true, true],
    [NodeState.NODE_STATE_DRAINING, false, false],
  ])('in state %d is expected back: %s when fresh, %s once it has served', (state, fresh, later) => {
    const link = join();
    fleet.inventory(link, [model]);
    const report = Report.fromPartial({ state });
    fleet.report(link, report);
    expect(fleet.candidates()[0]?.returning).toBe(fresh);
    fleet.report(link, SERVING);
    expect(fleet.candidates()[0]?.returning).toBe(false);
    fleet.report(link, report);
    expect(fleet.candidates()[0]?.returning).toBe(later);
  });
});

describe('a node that falls silent', () => {
  it('is suspect, then gone; each is told once and lets the waiting look again', () => {
    const link = serving();
    clock.advance(2400);
    expect(link.lease).toBe('held');
    const before = changes;
    clock.advance(200);
    expect(link.lease).toBe('suspect');
    expect(link.state).toBe(NodeState.NODE_STATE_SUSPECT);
    expect(changes).toBe(before + 1);
    clock.advance(2500);
    expect(fleet.get('n')).toBeUndefined();
    expect(dismissed).toMatchObject([{ link, fault: { reason: 'NODE_LOST' } }]);
    expect(types().filter((type) => type === 'node_suspect' || type === 'node_left')).toEqual(['node_suspect', 'node_left']);
    clock.advance(60_000);
    expect(dismissed).toHaveLength(1);
  });

  it('and reports again is trusted again', () => {
    const link = serving();
    clock.advance(3000);
    fleet.report(link, SERVING);
    expect(link.state).toBe(NodeState.NODE_STATE_SERVING);
    expect(types()).toContain('node_recovered');
    clock.advance(2000);
    expect(fleet.get('n')).toBe(link);
  });

  it('while the router itself stood still is forgiven', () => {
    const link = serving();
    clock.jump(60_000);
    expect(fleet.get('n')).toBe(link);
    expect(link.lease).toBe('held');
    clock.advance(5100);
    expect(fleet.get('n')).toBeUndefined();
  });
});

describe('a claim', () => {
  it('takes a slot until it is disposed, which frees it once', () => {
    serving();
    const claim = fleet.claim('n', { model: 'm', promptTokens: 20, outputTokens: 50 });
    expect(fleet.candidates()[0]).toMatchObject({ freeSlots: 1, running: 1, queuedPromptTokens: 20, expectedTokens: 50 });
    claim[Symbol.dispose]();
    claim[Symbol.dispose]();
    expect(fleet.candidates()[0]).toMatchObject({ freeSlots: 2, running: 0, queuedPromptTokens: 0, expectedTokens: 0 });
  });

  it('of a node that claims many gets 8 at first, then twice what it was seen to work on', () => {
    const link = join();
    fleet.inventory(link, [{ ...model, slots: 10_000, decodeTokensPerSecond: 50 }]);
    fleet.report(link, SERVING);
    const free = () => fleet.candidates()[0]?.freeSlots ?? 0;
    const claims = [];
    while (free() > 0) claims.push(fleet.claim('n', { model: 'm', promptTokens: 1, outputTokens: 9 }));
    expect(claims).toHaveLength(8);
    const before = changes;
    for (const claim of claims.slice(0, 6)) claim.delivered(1);
    expect(changes - before).toBe(6);
    expect(free()).toBe(12 - 2);
    for (const claim of claims) claim[Symbol.dispose]();
    expect(free()).toBe(12);
    fleet.inventory(link, [{ ...model, slots: 10_000, decodeTokensPerSecond: 1 }]);
    expect(free(), 'a slow one would take long to show anything').toBe(10_000);
  });

  it('of a node that has left is freed without harm', () => {
    const link = serving();
    const claim = fleet.claim('n', { model: 'm', promptTokens: 20, outputTokens: 50 });
    fleet.leave(link, 'goodbye');
    serving('n', 2);
    claim[Symbol.dispose]();
    expect(fleet.candidates()[0]).toMatchObject({ freeSlots: 2, running: 0 });
  });

  it('never drifts, whatever order claims, ends and reports come in', () => {
    const steps = fc.array(fc.constantFrom('claim', 'free', 'free twice', 'report', 'join again'), { maxLength: 80 });
    fc.assert(
      fc.property(steps, (sequence) => {
        const own = new Fleet(new FakeClock(), () => {});
        let link = fakeLink('p').link;
        const enter = () => {
          own.join(link, () => {});
          own.inventory(link, [model]);
          own.report(link, SERVING);
        };
        enter();
        let claims: Disposable[] = [];
        for (const step of sequence) {
          if (step === 'claim' && own.candidates()[0]!.freeSlots > 0)
            claims.push(own.claim('p', { model: 'm', promptTokens: 4, outputTokens: 10 }));
          else if (step.startsWith('free')) {
            const claim = claims.shift();
            claim?.[Symbol.dispose]();
            if (step === 'free twice') claim?.[Symbol.dispose]();
          } else if (step === 'report') own.report(link, SERVING);
          else if (step === 'join again') {
            link = fakeLink('p', 1).link;
            const old = claims;
            claims = [];
            enter();
            // The ends of what ran on the former stream come after it.
            for (const claim of old) claim[Symbol.dispose]();
          }
          const held = claims.length;
          const expected = { freeSlots: 2 - held, queuedPromptTokens: 4 * held, expectedTokens: 10 * held };
          expect(own.candidates()[0]).toMatchObject(expected);
          expect(link.reservations.requests).toBe(claims.length);
        }
        own.stop();
      }),
    );
  });
});

describe("what nodes' KV caches hold", () => {
  const prefixes = [{ hash: 7, bytes: 400 }];
  const cached = () => fleet.locality.lookup(prefixes)('n', 'm');
  const holding = (model: string) => Report.fromPartial({ ...SERVING, cachedPrefixes: [{ model, hashes: [7] }] });

  it('is what they report, until they report otherwise', () => {
    const link = serving();
    fleet.report(link, holding('m'));
    fleet.report(link, SERVING);
    expect(cached()).toBe(100);
    fleet.report(link, Report.fromPartial({ ...SERVING, cachedPrefixes: [{ model: 'm', hashes: [] }] }));
    expect(cached()).toBe(0);
  });

  it('is gone with the model, the node and the process', () => {
    const link = serving();
    fleet.report(link, holding('m'));
    fleet.inventory(link, []);
    fleet.inventory(link, [model]);
    expect(cached()).toBe(0);
    fleet.report(link, holding('m'));
    serving('n', 2);
    expect(cached()).toBe(0);
    expect(fleet.locality.size).toBe(0);
  });

  it('is not taken for models that they do not serve', () => {
    fleet.report(serving(), holding('ghost'));
    expect(fleet.locality.size).toBe(0);
  });
});

describe('a router that ends', () => {
  it('sends every node away as retryable, and leaves no timer', () => {
    serving('a');
    serving('b');
    fleet.stop();
    expect(dismissed.map(({ fault }) => fault.reason)).toEqual(['DRAINING', 'DRAINING']);
    expect(clock.pending).toBe(0);
  });
});

describe('claims that cannot be true', () => {
  it('are counted each time and told once', () => {
    const link = join();
    for (let i = 0; i < 3; i++) fleet.inventory(link, [{ ...model, slots: -1 }]);
    expect(fleet.claimsClamped).toBe(3);
    expect(types().filter((type) => type === 'claim_clamped')).toHaveLength(1);
  });
});
