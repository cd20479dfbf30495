import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Reservation } from '../../router/fleet/reservations.ts';
import { Reservations } from '../../router/fleet/reservations.ts';

const NOTHING = { requests: 0, unbegun: 0, promptTokens: 0, outputTokens: 0 };

describe('what a request reserves', () => {
  it('shrinks as its answer comes, and is never nothing while it runs', () => {
    const all = new Reservations();
    const one = all.take({ model: 'm', promptTokens: 100, outputTokens: 256 });
    expect(all.of('m')).toMatchObject({ requests: 1, unbegun: 1, mostBegun: 0, promptTokens: 100, outputTokens: 256 });
    one.delivered(1);
    expect(all.of('m')).toMatchObject({ requests: 1, unbegun: 0, mostBegun: 1, promptTokens: 0, outputTokens: 255 });
    one.delivered(200);
    expect(all.of('m').outputTokens).toBe(56);
    one.delivered(400);
    expect(all.of('m')).toMatchObject({ requests: 1, promptTokens: 0, outputTokens: 32 });
    expect(one.free()).toBe(true);
    expect(one.free()).toBe(false);
    one.delivered(3);
    expect(all.of('m')).toMatchObject(NOTHING);
  });

  it('comes to nothing when all are free, in whatever order tokens and ends come', () => {
    const step = fc.record({ act: fc.constantFrom('take', 'deliver', 'free'), which: fc.nat(9), tokens: fc.nat(500) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const all = new Reservations();
        const taken: Reservation[] = [];
        for (const { act, which, tokens } of steps) {
          if (act === 'take') taken.push(all.take({ model: `m${which % 2}`, promptTokens: tokens, outputTokens: tokens }));
          else if (act === 'deliver') taken.at(which % (taken.length || 1))?.delivered(tokens);
          else taken.at(which % (taken.length || 1))?.free();
          for (const model of ['m0', 'm1']) expect(Math.min(...Object.values(all.of(model)))).toBeGreaterThanOrEqual(0);
        }
        for (const one of taken) one[Symbol.dispose]();
        expect([all.of('m0'), all.of('m1'), all.requests]).toMatchObject([NOTHING, NOTHING, 0]);
      }),
    );
  });
});
