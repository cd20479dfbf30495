import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IDEMPOTENCY_LIMITS, IdempotencyRegistry } from '../../../router/idempotency/registry.ts';
import { FakeClock } from '../../support/clock.ts';

/** A run that notes what it is told. */
class Told {
  readonly readers: string[] = [];
  replacements = 0;
  whole = true;
  isWhole(): boolean {
    return this.whole;
  }
  takeOver(reader: string): void {
    this.readers.push(reader);
  }
  replaced(): void {
    this.replacements++;
  }
}

function world(limits = IDEMPOTENCY_LIMITS) {
  const clock = new FakeClock();
  return { clock, registry: new IdempotencyRegistry<string>(clock, limits) };
}

type Registry = IdempotencyRegistry<string>;
/** Begins a run that must be a new one. */
function begun(registry: Registry, key: string, body = 'body', told = new Told()) {
  const entered = registry.enter(key, body, told);
  if (entered.type !== 'new') throw new Error(`it is ${entered.type}`);
  return { entry: entered.entry, told };
}
const answer = (text: string) => Buffer.from(text);
const CONFLICT = { reason: 'IDEMPOTENCY_CONFLICT', code: 6, retryable: false };

describe('the same key and body', () => {
  it('takes the stream over while it runs, as often as it comes', () => {
    const { registry } = world();
    const { told } = begun(registry, 'k');
    for (const reader of ['second', 'third']) {
      const entered = registry.enter('k', 'body', new Told());
      if (entered.type !== 'running') throw new Error(entered.type);
      entered.takeOver(reader);
    }
    expect(told).toMatchObject({ readers: ['second', 'third'], replacements: 0 });
  });

  it('runs anew in the place of one that can no longer give all of its answer', () => {
    const { registry } = world();
    const first = begun(registry, 'k');
    first.told.whole = false;
    const second = begun(registry, 'k');
    expect(first.told).toMatchObject({ readers: [], replacements: 1 });
    first.entry.freed();
    expect(registry.enter('k', 'body', new Told()).type).toBe('running');
    expect(second.told.replacements).toBe(0);
  });

  it('gets the whole answer again for 60 s after its end, and no longer', () => {
    const { registry, clock } = world();
    begun(registry, 'k').entry.finished(answer('all of it'));
    clock.advance(59_999);
    expect(registry.enter('k', 'body', new Told())).toEqual({ type: 'finished', answer: answer('all of it') });
    clock.advance(1);
    expect(registry.enter('k', 'body', new Told()).type).toBe('new');
  });

  it('runs anew after it was cut or failed', () => {
    const { registry } = world();
    begun(registry, 'k').entry.freed();
    expect(registry.keys).toBe(0);
    begun(registry, 'k');
  });

  it('of a client that has a part of the answer ends what ran, and forgets what was kept', () => {
    const { registry } = world();
    const first = begun(registry, 'k');
    const second = registry.renew('k', 'body', new Told());
    expect(first.told.replacements).toBe(1);
    first.entry.finished(answer('of the replaced'));
    expect(registry.enter('k', 'body', new Told()).type).toBe('running');
    second.finished(answer('of the second'));
    registry.renew('k', 'body', new Told());
    expect(registry.bytes).toBe(0);
    expect(registry.enter('k', 'body', new Told()).type).toBe('running');
  });
});

describe('the same key and another body', () => {
  it('is a conflict while the first runs and while its answer is kept, also for who has a part of it', () => {
    const { registry, clock } = world();
    const { entry, told } = begun(registry, 'k', 'one');
    const refused = () => {
      expect(() => registry.enter('k', 'two', new Told())).toThrow(expect.objectContaining(CONFLICT));
      expect(() => registry.renew('k', 'two', new Told())).toThrow(expect.objectContaining(CONFLICT));
    };
    refused();
    entry.finished(answer('x'));
    refused();
    expect(told).toMatchObject({ readers: [], replacements: 0 });
    clock.advance(60_000);
    begun(registry, 'k', 'two');
  });
});

describe('what is kept', () => {
  it('is bounded in keys: the oldest finished one leaves first, and never one that runs', () => {
    const { registry } = world({ ...IDEMPOTENCY_LIMITS, keys: 3 });
    begun(registry, 'runs');
    begun(registry, 'older').entry.finished(answer('x'));
    begun(registry, 'newer').entry.finished(answer('x'));
    begun(registry, 'next');
    expect(registry.enter('newer', 'body', new Told()).type).toBe('finished');
    expect(registry.enter('runs', 'body', new Told()).type).toBe('running');
    begun(registry, 'older');
    expect(registry.keys).toBe(3);
  });

  it('lets a request run unregistered where all keys run', () => {
    const { registry } = world({ ...IDEMPOTENCY_LIMITS, keys: 1 });
    begun(registry, 'first');
    const { entry } = begun(registry, 'second');
    entry.finished(answer('x'));
    begun(registry, 'second');
    expect(registry).toMatchObject({ keys: 1, bytes: 0 });
  });

  it('is bounded in bytes, and an answer beyond all of them is not kept', () => {
    const { registry } = world({ ...IDEMPOTENCY_LIMITS, bytes: 10 });
    begun(registry, 'a').entry.finished(answer('123456'));
    begun(registry, 'b').entry.finished(answer('1234'));
    begun(registry, 'c').entry.finished(answer('1'));
    expect(registry).toMatchObject({ keys: 2, bytes: 5 });
    begun(registry, 'd').entry.finished(answer('12345678901'));
    expect(registry).toMatchObject({ keys: 2, bytes: 5 });
    begun(registry, 'd');
  });

  it('leaves by itself when nobody enters', () => {
    const { registry, clock } = world();
    begun(registry, 'a').entry.finished(answer('x'));
    clock.advance(60_000);
    registry.sweep();
    expect(registry).toMatchObject({ keys: 0, bytes: 0 });
  });
});

/** What each key is in, told by the rules alone. */
type State =
  | { is: 'running'; body: string; run: Run }
  | { is: 'finished'; body: string; answer: Buffer; until: number }
  | undefined;
interface Run {
  readonly key: string;
  readonly told: Told;
  readonly entry: { finished(answer: Buffer): void; freed(): void };
}

describe('any sequence of requests', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('ask' as const), renews: fc.boolean(), key: fc.nat(3), body: fc.nat(1) }),
    fc.record({ do: fc.constant('end' as const), frees: fc.boolean(), run: fc.nat(20), size: fc.nat(40) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
  );

  it('leaves each key in the one state that the rules give it, and every run is told once', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { registry, clock } = world();
        const states = new Map<string, State>();
        const runs: Run[] = [];
        const stateOf = (key: string): State => {
          const state = states.get(key);
          return state?.is === 'finished' && state.until <= clock.now() ? undefined : state;
        };
        for (const one of steps) {
          if (one.do === 'wait') clock.advance(one.ms);
          else if (one.do === 'end') {
            const run = runs[one.run];
            if (!run) continue;
            const state = stateOf(run.key);
            const bytes = Buffer.alloc(one.size, run.key);
            if (one.frees) run.entry.freed();
            else run.entry.finished(bytes);
            if (state?.is !== 'running' || state.run !== run) continue;
            const until = clock.now() + 60_000;
            states.set(run.key, one.frees ? undefined : { is: 'finished', body: state.body, answer: bytes, until });
          } else {
            const [key, body] = [String(one.key), String(one.body)];
            const state = stateOf(key);
            const told = new Told();
            const ask = () => (one.renews ? registry.renew(key, body, told) : registry.enter(key, body, told));
            if (state && state.body !== body) {
              expect(ask).toThrow(expect.objectContaining(CONFLICT));
              continue;
            }
            const got = ask();
            if (one.renews) {
              if (state?.is === 'running') expect(state.run.told.replacements).toBe(1);
            } else if (state) {
              if (!('type' in got)) throw new Error('no state');
              expect(got.type).toBe(state.is);
              if (got.type === 'finished' && state.is === 'finished') expect(got.answer).toBe(state.answer);
              if (got.type === 'running' && state.is === 'running') {
                got.takeOver('reader');
                expect(state.run.told.readers.at(-1)).toBe('reader');
              }
              continue;
            } else if (!('type' in got) || got.type !== 'new') throw new Error('not new');
            const entry = 'entry' in got ? got.entry : (got as Run['entry']);
            const run = { key, told, entry };
            runs.push(run);
            states.set(key, { is: 'running', body, run });
          }
          registry.sweep();
          const live = [...states.keys()].map(stateOf).filter((state) => state !== undefined);
          const bytes = live.reduce((sum, state) => sum + (state.is === 'finished' ? state.answer.length : 0), 0);
          expect(registry).toMatchObject({ keys: live.length, bytes });
          for (const { told } of runs) expect(told.replacements).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('stays within its bounds', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { registry, clock } = world({ keys: 2, bytes: 50, keepMs: 60_000 });
        const entries: Run['entry'][] = [];
        for (const one of steps) {
          if (one.do === 'wait') clock.advance(one.ms);
          else if (one.do === 'end' && one.frees) entries[one.run]?.freed();
          else if (one.do === 'end') entries[one.run]?.finished(Buffer.alloc(one.size));
          else {
            const got = registry.enter(String(one.key), 'body', new Told());
            if (got.type === 'new') entries.push(got.entry);
          }
          expect(registry.keys).toBeLessThanOrEqual(2);
          expect(registry.bytes).toBeLessThanOrEqual(50);
          expect(registry.bytes).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 500 },
    );
  });
});
