import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { InLine, Place } from '../../router/admit/line.ts';
import { Line, PRIORITIES } from '../../router/admit/line.ts';

interface Waiter extends InLine {
  readonly n: number;
}

let count = 0;
function waiter(place: Partial<Place> = {}, since = 0): Waiter {
  return { n: count++, since, place: { tenant: 'a', priority: 'normal', cost: 100, migrating: false, ...place } };
}

/** Lets the next one in. */
function next(line: Line<Waiter>): Waiter | undefined {
  const one = line.migrant ?? line.head;
  if (one) line.remove(one, true);
  return one;
}

function enter(line: Line<Waiter>, one: Waiter): Waiter {
  line.add(one);
  return one;
}

describe('a line', () => {
  it("lets one tenant's requests in by their arrival", () => {
    const line = new Line<Waiter>();
    const all = [1, 2, 3].map((since) => enter(line, waiter({}, since)));
    expect([next(line), next(line), next(line), next(line)]).toEqual([...all, undefined]);
    expect(line.size).toBe(0);
  });

  it("lets a tenant's one request in next, though another's thousand came before", () => {
    const line = new Line<Waiter>();
    for (let n = 0; n < 1000; n++) enter(line, waiter({ tenant: 'many' }));
    for (let n = 0; n < 10; n++) next(line);
    const single = enter(line, waiter({ tenant: 'single' }));
    expect([next(line), next(line)]).toContain(single);
  });

  it('gives tenants equal tokens, not equal turns', () => {
    const line = new Line<Waiter>();
    for (let n = 0; n < 100; n++) {
      enter(line, waiter({ tenant: 'long', cost: 900 }));
      enter(line, waiter({ tenant: 'short', cost: 100 }));
    }
    const first = Array.from({ length: 50 }, () => next(line) as Waiter);
    expect(first.filter(({ place }) => place.tenant === 'long').length).toBe(5);
  });

  it('lets nobody save up turns by staying away', () => {
    const line = new Line<Waiter>();
    for (let n = 0; n < 100; n++) enter(line, waiter({ tenant: 'here' }));
    for (let n = 0; n < 50; n++) next(line);
    for (let n = 0; n < 50; n++) enter(line, waiter({ tenant: 'away' }));
    const then = Array.from({ length: 20 }, () => (next(line) as Waiter).place.tenant);
    expect(then.filter((tenant) => tenant === 'here').length).toBe(10);
  });

  it('lets nobody get more by never having two requests wait', () => {
    const line = new Line<Waiter>();
    for (let n = 0; n < 200; n++) enter(line, waiter({ tenant: 'many', cost: 100 }));
    const served = { many: 0, few: 0 };
    for (let n = 0; n < 100; n++) {
      if (![...line].some(([{ place }]) => place.tenant === 'few')) enter(line, waiter({ tenant: 'few', cost: 300 }));
      const { place } = next(line) as Waiter;
      served[place.tenant as 'many' | 'few'] += place.cost;
    }
    expect(Math.abs(served.many - served.few)).toBeLessThanOrEqual(300);
  });

  it('puts a high priority before normal ones that came up to 10 s earlier, and before low ones up to 30 s', () => {
    const order = (priority: Place['priority'], earlierMs: number) => {
      const line = new Line<Waiter>();
      enter(line, waiter({ priority }, 100_000 - earlierMs));
      enter(line, waiter({ priority: 'high' }, 100_000));
      return (next(line) as Waiter).place.priority;
    };
    expect(order('normal', 9999)).toBe('high');
    expect(order('normal', 10_001)).toBe('normal');
    expect(order('low', 29_999)).toBe('high');
    expect(order('low', 30_001)).toBe('low');
  });

  it('gives nothing of another tenant away for a priority', () => {
    const line = new Line<Waiter>();
    for (let n = 0; n < 50; n++) {
      enter(line, waiter({ tenant: 'loud', priority: 'high' }));
      enter(line, waiter({ tenant: 'modest', priority: 'low' }));
    }
    const first = Array.from({ length: 20 }, () => (next(line) as Waiter).place.tenant);
    expect(first.filter((tenant) => tenant === 'modest').length).toBe(10);
  });
});

const place = (tenants: readonly string[]): fc.Arbitrary<Place> =>
  fc.record({
    tenant: fc.constantFrom(...tenants),
    priority: fc.constantFrom(...PRIORITIES),
    cost: fc.integer({ min: 1, max: 5000 }),
    migrating: fc.constant(false),
  });

describe('whatever comes and goes', () => {
  it('two tenants that both keep requests waiting are never apart by more than one request', () => {
    const costs = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(costs, costs, fc.integer({ min: 0, max: 39 }), (one, other, cancelled) => {
        const line = new Line<Waiter>();
        const own = one.map((cost) => enter(line, waiter({ tenant: 'one', cost })));
        for (const cost of other) enter(line, waiter({ tenant: 'other', cost }));
        line.remove(own[cancelled] as Waiter, false);
        const largest = Math.max(...one, ...other);
        const served: Record<string, number> = { one: 0, other: 0 };
        const left: Record<string, number> = { one: 39, other: 40 };
        while (left.one && left.other) {
          const { place } = next(line) as Waiter;
          served[place.tenant] = (served[place.tenant] as number) + place.cost;
          left[place.tenant] = (left[place.tenant] as number) - 1;
          expect(Math.abs((served.one as number) - (served.other as number))).toBeLessThanOrEqual(largest);
        }
      }),
    );
  });

  it('nobody is lost, let in twice or let in after leaving, and nothing is left behind', () => {
    const step = fc.oneof(
      fc.record({ comes: place(['a', 'b', 'c', '']), migrating: fc.boolean() }),
      fc.record({ leaves: fc.nat(1000) }),
      fc.constant('next' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const line = new Line<Waiter>();
        const waiting = new Set<Waiter>();
        let now = 0;
        const letIn = () => {
          const one = next(line);
          expect(one !== undefined).toBe(waiting.size > 0);
          if (one) expect(waiting.delete(one)).toBe(true);
        };
        for (const one of steps) {
          now += 500;
          if (one === 'next') letIn();
          else if ('comes' in one) waiting.add(enter(line, waiter({ ...one.comes, migrating: one.migrating }, now)));
          else {
            const leaver = [...waiting][one.leaves % (waiting.size || 1)];
            if (leaver) {
              line.remove(leaver, false);
              line.remove(leaver, false);
              waiting.delete(leaver);
            }
          }
          expect(line.size).toBe(waiting.size);
          expect(new Set([...line].map(([inLine]) => inLine))).toEqual(waiting);
        }
        while (waiting.size > 0) letIn();
        expect(line.size).toBe(0);
        expect(line.head).toBeUndefined();
      }),
    );
  });

  it('nobody starves: a request of low priority gets in, though more of high priority come than can be served', () => {
    fc.assert(
      fc.property(fc.array(place(['a', 'b', 'c']), { minLength: 1, maxLength: 30 }), (others) => {
        const line = new Line<Waiter>();
        const patient = enter(line, waiter({ tenant: 'a', priority: 'low', cost: 5000 }));
        for (const [n, other] of others.entries()) enter(line, waiter(other, n));
        // Two come, at the highest priority and of its own tenant too, for each that gets in, every second.
        for (let second = 1; ; second++) {
          // Its tenant may have had 5,000 tokens more than the two others, who then catch up by one token each.
          expect(second).toBeLessThan(20_000);
          enter(line, waiter({ tenant: 'a', priority: 'high', cost: 1 }, second * 1000));
          enter(line, waiter({ tenant: 'b', priority: 'high', cost: 1 }, second * 1000));
          if (next(line) === patient) break;
        }
      }),
      { numRuns: 30 },
    );
  });
});
