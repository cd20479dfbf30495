import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { Damping, HELD_MS, MOST_RETURNS, WITHIN_MS } from '../../router/fleet/damping.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { REPORT_INTERVAL_MS } from '../../router/fleet/lease.ts';
import type { NodeLink } from '../../router/fleet/node-link.ts';
import type { FleetEvent } from '../../telemetry/events.ts';
import { FakeClock, seeded } from '../support/clock.ts';
import { fakeLink } from './fakes.ts';

describe('a node that comes and goes', () => {
  let damping: Damping;
  let now: number;

  beforeEach(() => {
    damping = new Damping();
    now = 0;
    damping.joined('n', now);
  });

  const comeBack = (afterMs = 100) => {
    damping.left('n', now);
    now += afterMs;
    return damping.joined('n', now);
  };

  it('is held at its fourth return within a minute, not before', () => {
    for (let i = 0; i < MOST_RETURNS; i++) expect(comeBack()).toBeUndefined();
    expect(comeBack()).toEqual({ returns: 4, heldMs: HELD_MS.least });
    expect(damping.holds('n', now + HELD_MS.least - 1)).toBe(true);
    expect(damping.holds('n', now + HELD_MS.least)).toBe(false);
  });

  it('is held twice as long each time, up to 30 s', () => {
    for (let i = 0; i < MOST_RETURNS; i++) comeBack();
    expect(Array.from({ length: 7 }, () => comeBack()?.heldMs)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  it('is held half as long for each minute in which it stayed', () => {
    for (let i = 0; i < MOST_RETURNS + 3; i++) comeBack();
    now += 2 * WITHIN_MS;
    for (let i = 0; i < MOST_RETURNS; i++) expect(comeBack()).toBeUndefined();
    expect(comeBack()?.heldMs).toBe(2000);
  });

  it('is never held while it comes back less than four times a minute', () => {
    for (let i = 0; i < 100; i++) expect(comeBack(WITHIN_MS / MOST_RETURNS)).toBeUndefined();
  });

  it('is told to be let in again, once', () => {
    for (let i = 0; i <= MOST_RETURNS; i++) comeBack();
    expect(damping.released(now + 999)).toBe(false);
    expect(damping.released(now + 1000)).toBe(true);
    expect(damping.released(now + 5000)).toBe(false);
  });

  it('is forgotten when it stays away', () => {
    for (let i = 0; i < 1000; i++) damping.left(`once-${i}`, i);
    damping.left('later', 3_600_000);
    expect(damping.size).toBe(1);
  });

  it('of several, each is let in when its own time has passed, whatever their order', () => {
    const steps = fc.array(fc.record({ node: fc.nat(3), waitMs: fc.nat(3000) }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (sequence) => {
        const own = new Damping();
        let at = 0;
        const until = new Map<string, number>();
        for (const { node, waitMs } of sequence) {
          at += waitMs;
          for (const [name, end] of until) expect(own.holds(name, at)).toBe(at < end);
          own.left(`n${node}`, at);
          const damped = own.joined(`n${node}`, at);
          if (damped) until.set(`n${node}`, at + damped.heldMs);
        }
      }),
    );
  });
});

describe('in the fleet', () => {
  const SERVING = Report.fromPartial({ state: NodeState.NODE_STATE_SERVING });
  const model = ServedModel.fromPartial({ name: 'm', slots: 2, contextLength: 100 });
  let clock: FakeClock;
  let fleet: Fleet;
  let told: FleetEvent[];
  let links: Map<string, NodeLink>;
  let epoch = 0;

  beforeEach(() => {
    clock = new FakeClock();
    told = [];
    links = new Map();
    fleet = new Fleet(clock, (event) => told.push(event), seeded(1));
    clock.every(REPORT_INTERVAL_MS, () => {
      for (const link of links.values()) if (fleet.get(link.id) === link) fleet.report(link, SERVING);
    });
  });

  const join = (id: string) => {
    const { link } = fakeLink(id, ++epoch, clock.now());
    fleet.join(link, () => {});
    fleet.inventory(link, [model]);
    fleet.report(link, SERVING);
    links.set(id, link);
  };
  const flap = (id: string, times: number) => {
    for (let i = 0; i < times; i++) {
      fleet.leave(links.get(id) as NodeLink, 'disconnected');
      join(id);
    }
  };
  const troubleOf = (id: string) => fleet.candidates().find(({ node }) => node === id)?.trouble;

  it('a node that flaps is told of, not chosen, and chosen again after its time; who waits then looks again', () => {
    for (const id of ['steady', 'flaps']) join(id);
    flap('flaps', 4);
    expect(told).toContainEqual({ type: 'node_damped', node: 'flaps', returns: 4, heldMs: 1000 });
    expect([troubleOf('flaps'), troubleOf('steady')]).toEqual(['flapping', undefined]);
    const seen: unknown[] = [];
    fleet.onChange(() => seen.push(troubleOf('flaps')));
    clock.advance(1100);
    expect(seen).toContain(undefined);
    expect(troubleOf('flaps')).toBeUndefined();
  });

  it('the last node of a model is chosen however it flaps, and held out once another is there', () => {
    join('flaps');
    flap('flaps', 8);
    expect(troubleOf('flaps')).toBeUndefined();
    join('steady');
    expect(troubleOf('flaps')).toBe('flapping');
  });

  it('while most nodes of a model flap none of them is held out', () => {
    for (const id of ['a', 'b', 'c']) join(id);
    for (let i = 0; i < 6; i++) for (const id of ['a', 'b']) flap(id, 1);
    expect(['a', 'b', 'c'].map(troubleOf)).toEqual([undefined, undefined, undefined]);
    join('d');
    expect(['a', 'b', 'c', 'd'].map(troubleOf)).toEqual(['flapping', 'flapping', undefined, undefined]);
  });
});
