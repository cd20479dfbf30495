import { beforeEach, describe, expect, it } from 'vitest';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { REPORT_INTERVAL_MS } from '../../router/fleet/lease.ts';
import type { NodeLink } from '../../router/fleet/node-link.ts';
import { decide } from '../../router/select/decide.ts';
import { refusalFault } from '../../router/select/refusal.ts';
import { FakeClock, seeded } from '../support/clock.ts';
import { fakeLink } from './fakes.ts';
import { ask, candidate, knowledge } from './select/builders.ts';

const SERVING = Report.fromPartial({ state: NodeState.NODE_STATE_SERVING });
const model = ServedModel.fromPartial({ name: 'm', slots: 2, contextLength: 4096 });
const work = { model: 'm', promptTokens: 1, outputTokens: 1 };

let clock: FakeClock;
let fleet: Fleet;
let links: Map<string, NodeLink>;
let openMs: number;

beforeEach(() => {
  clock = new FakeClock();
  links = new Map();
  openMs = 0;
  fleet = new Fleet(
    clock,
    (event) => {
      if (event.type === 'breaker_opened') openMs = event.openMs;
    },
    seeded(3),
  );
  clock.every(REPORT_INTERVAL_MS, () => {
    for (const link of links.values()) if (fleet.get(link.id) === link) fleet.report(link, SERVING);
  });
  for (const id of ['sick', 'well']) join(id, 1);
});

function join(id: string, epoch: number): void {
  const { link } = fakeLink(id, epoch, clock.now());
  fleet.join(link, () => {});
  fleet.inventory(link, [model]);
  fleet.report(link, SERVING);
  links.set(id, link);
}

const barred = (id: string) => fleet.candidates().find(({ node }) => node === id)?.barred;
const fail = (id: string) => {
  for (let i = 0; i < 3; i++) fleet.breakers.started(id, 'm').failed('transport');
};

describe('a node with an open breaker', () => {
  it('is a candidate that is ruled out, and is looked at again when its time has passed', () => {
    fail('sick');
    expect([barred('sick'), barred('well')]).toEqual(['open', undefined]);
    const seen: unknown[] = [];
    fleet.onChange(() => seen.push(barred('sick')));
    clock.advance(openMs);
    expect(seen).toContain(undefined);
  });

  it('is chosen for one request when it is half open, from the claim on', () => {
    fail('sick');
    clock.advance(openMs);
    const first = fleet.claim('sick', work);
    expect(barred('sick')).toBe('probing');
    first[Symbol.dispose]();
    expect(barred('sick')).toBeUndefined();
    using second = fleet.claim('sick', work);
    const probe = fleet.breakers.started('sick', 'm');
    expect(barred('sick')).toBe('probing');
    second.delivered(1);
    probe.succeeded();
    expect(barred('sick')).toBeUndefined();
  });

  it('whose probe streams for long is in again after its limit', () => {
    fail('sick');
    clock.advance(openMs);
    using claim = fleet.claim('sick', work);
    fleet.breakers.started('sick', 'm', 1000);
    claim.delivered(1);
    clock.advance(1000);
    expect(barred('sick')).toBeUndefined();
  });

  it('is not ruled out once the others fall silent, drain or leave', () => {
    fail('sick');
    fleet.report(links.get('well') as NodeLink, Report.fromPartial({ state: NodeState.NODE_STATE_DRAINING }));
    expect(barred('sick')).toBeUndefined();
    fleet.report(links.get('well') as NodeLink, SERVING);
    expect(barred('sick')).toBe('open');
    fleet.leave(links.get('well') as NodeLink, 'goodbye');
    expect(barred('sick')).toBeUndefined();
  });

  it('is a new one when its process is', () => {
    fail('sick');
    fleet.leave(links.get('sick') as NodeLink, 'disconnected');
    join('sick', 2);
    expect(barred('sick')).toBeUndefined();
  });
});

describe('a choice', () => {
  it.each([
    [{ barred: 'open' }, 'breaker', 'too much failed there lately'],
    [{ barred: 'probing' }, 'breaker', 'too much failed there lately, and one request tries it now'],
    [{ trouble: 'wedged' }, 'state', 'its engine gives no tokens'],
    [{ trouble: 'flapping' }, 'state', 'the node left and came back too often'],
  ] as const)('rules out who is %o, says why, and refuses as retryable when nobody else is there', (more, filter, reason) => {
    const out = candidate('out', {}, { ...more, returning: 'trouble' in more });
    const decision = decide([out, candidate('in')], ask(), knowledge());
    expect(decision.chosen?.candidate.node).toBe('in');
    expect(decision.considered[0]?.exclusion).toMatchObject({ filter, reason, busy: false });
    const alone = decide([out], ask(), knowledge());
    expect(refusalFault(alone, ask())).toMatchObject({ reason: 'NO_NODE', retryable: true, message: reason });
  });

  it('gives nobody unsuited what a suited one with an open breaker could do in a moment', () => {
    const teller = candidate('teller', { name: 'stories', tasks: ['story'] });
    const decision = decide([teller, candidate('out', {}, { barred: 'open' })], ask(), knowledge());
    expect(decision.chosen).toBeUndefined();
  });
});

it('a router that ends leaves no timer of its breakers', () => {
  fail('sick');
  links.clear();
  const before = clock.pending;
  fleet.stop();
  expect(clock.pending).toBe(before - 2);
});
