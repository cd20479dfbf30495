import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { OPEN_MS } from '../../../router/breakers/breaker.ts';
import type { Trial } from '../../../router/breakers/breakers.ts';
import { PROBE_LIMIT_MS, REMEMBER_MS } from '../../../router/breakers/breakers.ts';
import { World } from './world.ts';

let world: World;

beforeEach(() => {
  world = new World();
});

describe('a breaker opens', () => {
  it.each(['transport', 'stall'] as const)('at the third failure in a row (%s)', (kind) => {
    world.fail(2, kind);
    expect(world.permits()).toBe(true);
    world.fail(1, kind);
    expect(world.permits()).toBe(false);
    expect(world.changes).toEqual(['a opened: failures_in_a_row']);
  });

  it('at under half of ten or more in ten seconds, of whatever kind', () => {
    world.succeed(4);
    world.fail(5, 'engine');
    expect(world.permits()).toBe(true);
    world.fail(1, 'engine');
    expect(world.changes).toEqual(['a/m opened: low_success']);
  });

  it('not at half of them', () => {
    world.succeed(10);
    world.fail(10, 'engine');
    expect(world.changes).toEqual([]);
  });

  it('not for failures that are more than ten seconds apart', () => {
    world.fail(9, 'engine');
    world.clock.advance(11_000);
    world.fail(9, 'engine');
    expect(world.changes).toEqual([]);
  });

  it('neither for what is cancelled nor for what is disposed', () => {
    for (let i = 0; i < 100; i++) {
      world.started().neutral();
      world.started()[Symbol.dispose]();
    }
    world.fail(2);
    expect(world.changes).toEqual([]);
  });

  it('a success between failures begins the row anew, and only the first verdict of an attempt counts', () => {
    world.fail(2);
    const trial = world.started();
    trial.succeeded();
    trial.failed('transport');
    world.fail(2);
    expect(world.changes).toEqual([]);
  });
});

describe('an open breaker', () => {
  it('stays open longer each time its probe fails, from 1 s to 30 s, and never for the same time twice', () => {
    world.fail(3);
    const lengths = [];
    for (let i = 0; i < 10; i++) {
      lengths.push(world.openMs);
      world.clock.advance(world.openMs);
      world.started().failed('transport');
    }
    for (const [i, length] of lengths.entries()) {
      expect(length).toBeGreaterThanOrEqual(Math.min(OPEN_MS.most / 2, OPEN_MS.least * 2 ** i));
      expect(length).toBeLessThanOrEqual(Math.min(OPEN_MS.most, OPEN_MS.least * 2 ** (i + 1)));
    }
    expect(new Set(lengths).size).toBe(lengths.length);
  });

  it('begins at 1 s again after it was closed for a while', () => {
    world.fail(3);
    for (let i = 0; i < 5; i++) {
      world.clock.advance(world.openMs);
      world.started().failed('transport');
    }
    world.clock.advance(world.openMs);
    world.started().succeeded();
    world.clock.advance(60_000);
    world.fail(3);
    expect(world.openMs).toBeLessThan(2000);
  });

  it('lets those who wait look again when it lets a node in, and tells each change once', () => {
    world.fail(3);
    expect(world.permitted).toBe(0);
    world.clock.advance(world.openMs);
    expect(world.permitted).toBe(1);
    world.started().succeeded();
    expect(world.permitted).toBeGreaterThan(1);
    expect(world.changes).toEqual(['a opened: failures_in_a_row', 'a half open', 'a closed: succeeded']);
  });
});

describe('a probe', () => {
  it('is one: while it runs nobody else is sent there', () => {
    world.toHalfOpen();
    expect(world.permits()).toBe(true);
    world.started();
    expect(world.breakers.barred('a', 'm')).toBe('probing');
  });

  it('is promised to the request that was chosen for it, until that is sent or given up', () => {
    world.toHalfOpen();
    const first = world.breakers.promise('a', 'm');
    expect(world.breakers.barred('a', 'm')).toBe('probing');
    first[Symbol.dispose]();
    expect(world.permits()).toBe(true);
    const second = world.breakers.promise('a', 'm');
    const probe = world.started();
    second[Symbol.dispose]();
    expect(world.breakers.barred('a', 'm')).toBe('probing');
    probe.succeeded();
    expect(world.permits()).toBe(true);
  });

  it('that has given tokens by its limit has succeeded, and its end counts like any other', () => {
    world.toHalfOpen();
    const probe = world.started();
    world.breakers.gave('a', 'm');
    world.clock.advance(PROBE_LIMIT_MS);
    expect(world.changes.at(-1)).toBe('a closed: succeeded');
    probe.failed('transport');
    world.fail(1);
    expect(world.permits()).toBe(true);
    world.fail(1);
    expect(world.permits()).toBe(false);
  });

  it('has the limit that it is given', () => {
    world.toHalfOpen();
    world.breakers.started('a', 'm', 500);
    world.clock.advance(500);
    expect(world.changes.at(-1)).toBe('a opened: probe_failed');
  });
});

describe('a node with several models', () => {
  beforeEach(() => {
    world = new World([]);
    for (const node of ['a', 'b']) world.join(node, ['m', 'x']);
  });

  it('is out with the one that fails, while the other serves', () => {
    for (let i = 0; i < 3; i++) {
      world.fail(1, 'stall', 'a', 'x');
      world.succeed(1, 'a', 'm');
    }
    expect(world.changes).toEqual(['a/x opened: failures_in_a_row']);
    expect([world.permits('a', 'x'), world.permits('a', 'm')]).toEqual([false, true]);
  });

  it('is out as a whole when nothing comes from it, and stays in for a model that nobody else has', () => {
    world.join('a', ['only-here']);
    world.fail(3);
    expect([world.permits('a', 'x'), world.permits('a', 'm'), world.permits('a', 'only-here')]).toEqual([false, false, true]);
  });
});

describe('the last healthy node of a model', () => {
  it('is never ejected, however it fails', () => {
    world = new World(['a']);
    world.fail(100);
    world.fail(100, 'engine');
    expect(world.permits()).toBe(true);
    expect(world.changes).toEqual([]);
  });

  it('is the one whose fellows are out already', () => {
    world.fail(3, 'transport', 'b');
    world.fail(50);
    expect([world.permits('a'), world.permits('b')]).toEqual([true, false]);
  });

  it('is let in again when the others leave, and what it answers closes it', () => {
    world.fail(3);
    expect(world.permits()).toBe(false);
    world.leave('b');
    expect(world.permits()).toBe(true);
    world.started().succeeded();
    expect(world.changes.at(-1)).toBe('a closed: succeeded');
  });

  it('opens at the next failure once somebody else is there', () => {
    world = new World(['a']);
    world.fail(5);
    world.join('b');
    world.fail(1);
    expect(world.permits('a')).toBe(false);
  });
});

describe('a node that left and came back', () => {
  it('as a newer process begins anew, and what still ends of the older is not held against it', () => {
    const old = [1, 2, 3].map(() => world.started());
    world.fail(3);
    world.leave('a');
    world.join('a', ['m'], 2);
    expect(world.changes.at(-1)).toBe('a closed: forgotten');
    for (const trial of old) trial.failed('transport');
    expect(world.permits()).toBe(true);
  });

  it('as the same process is what it was', () => {
    world.fail(3);
    world.leave('a');
    world.join('a');
    expect(world.permits()).toBe(false);
  });

  it('is not remembered for ever', () => {
    world.fail(2);
    world.leave('a');
    world.clock.advance(REMEMBER_MS);
    world.join('b');
    world.join('a');
    world.fail(2);
    expect(world.permits()).toBe(true);
  });
});

it('a stall is told, so that the node can be asked whether it lives', () => {
  world.fail(1, 'transport');
  world.fail(1, 'stall');
  expect(world.stalled).toEqual(['a m']);
});

describe('whatever happens', () => {
  type Step =
    | { readonly do: 'start'; readonly node: number; readonly model: number; readonly promised: boolean }
    | { readonly do: 'end'; readonly which: number; readonly how: 'token' | 'ok' | 'transport' | 'stall' | 'engine' | 'neutral' }
    | { readonly do: 'break'; readonly node: number; readonly model: number }
    | { readonly do: 'wait'; readonly ms: number }
    | { readonly do: 'leave' | 'join' | 'join anew'; readonly node: number };

  const node = fc.nat(2);
  const end = fc.record({
    do: fc.constant('end' as const),
    which: fc.nat(30),
    how: fc.constantFrom(
      'token' as const,
      'ok' as const,
      'transport' as const,
      'stall' as const,
      'engine' as const,
      'neutral' as const,
    ),
  });
  const start = fc.record({ do: fc.constant('start' as const), node, model: fc.nat(1), promised: fc.boolean() });
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 8, arbitrary: start },
    { weight: 8, arbitrary: end },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('break' as const), node, model: fc.nat(1) }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 300, 1000, 2000, 4000, 20_000) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'join' as const, 'join anew' as const), node }) },
  );

  it('it is never stuck, there are never two probes, and some node of a model is always let in', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 45 }), (steps) => new Walk().run(steps)),
      { numRuns: 10_000, seed: 20_261_121 },
    );
  }, 60_000);

  const NODES = ['a', 'b', 'c'];
  const MODELS = ['m', 'x'];

  /** One sequence of events, with what must hold after each. */
  class Walk {
    readonly world = new World([]);
    readonly #epochs = new Map<string, number>();
    #trials: Trial[] = [];
    /** By breaker: the attempt that was sent first since it is half open, while it lasts. */
    readonly #probes = new Map<string, { readonly trial: Trial; readonly since: number }>();

    constructor() {
      for (const name of NODES) this.#join(name, 1);
    }

    run(steps: readonly Step[]): void {
      for (const one of steps) {
        this.#take(one);
        if (this.#here.length > 0)
          for (const model of MODELS) expect(this.#here.some((name) => this.world.permits(name, model))).toBe(true);
      }
      for (const trial of this.#trials) trial.neutral();
      this.world.clock.advance(OPEN_MS.most);
      for (const name of this.#here) for (const model of MODELS) expect(this.world.permits(name, model)).toBe(true);
      inOrder(this.world.changes);
      this.world.breakers.stop();
      expect(this.world.clock.pending).toBe(0);
    }

    get #here(): string[] {
      return [...(this.world.serving.get('m') ?? [])];
    }

    #join(name: string, epoch: number): void {
      this.#epochs.set(name, epoch);
      this.world.join(name, MODELS, epoch);
    }

    #take(one: Step): void {
      if (one.do === 'wait') return this.world.clock.advance(one.ms);
      if (one.do === 'end') return this.#end(one.which, one.how);
      const name = NODES[one.node] as string;
      if (one.do === 'start') return this.#start(name, MODELS[one.model] as string, one.promised);
      if (one.do === 'break') return this.world.fail(3, 'stall', name, MODELS[one.model]);
      if (one.do === 'leave') return this.world.leave(name);
      this.#join(name, (this.#epochs.get(name) ?? 0) + (one.do === 'join anew' ? 1 : 0));
    }

    #start(name: string, model: string, promised: boolean): void {
      const { breakers } = this.world;
      if (!this.#here.includes(name) || !breakers.permits(name, model)) return;
      const halfOpen = [name, `${name}/${model}`].filter((breaker) => this.#stateOf(breaker) === 'half open');
      const isLast = !this.#here.some((other) => other !== name && this.#isTrusted(other, model));
      const promise = promised ? breakers.promise(name, model) : undefined;
      if (promised && halfOpen.length > 0 && !isLast) expect(breakers.permits(name, model)).toBe(false);
      const trial = breakers.started(name, model);
      this.#trials.push(trial);
      promise?.[Symbol.dispose]();
      for (const breaker of halfOpen) this.#probe(breaker, trial, isLast);
    }

    #probe(breaker: string, trial: Trial, isLast: boolean): void {
      const since = this.world.changes.findLastIndex((change) => change.startsWith(`${breaker} `));
      const other = this.#probes.get(breaker);
      const running = other?.since === since && this.#trials.includes(other.trial);
      if (running && !isLast) throw new Error(`two probes of ${breaker}`);
      if (!running) this.#probes.set(breaker, { trial, since });
    }

    #isTrusted(name: string, model: string): boolean {
      return [name, `${name}/${model}`].every((breaker) => this.#stateOf(breaker) === 'closed');
    }

    #stateOf(breaker: string): string {
      const last = this.world.changes.findLast((change) => change.startsWith(`${breaker} `));
      return /opened|half open/.exec(last ?? '')?.[0] ?? 'closed';
    }

    #end(which: number, how: Extract<Step, { do: 'end' }>['how']): void {
      const trial = this.#trials[which % Math.max(1, this.#trials.length)];
      if (!trial) return;
      if (how === 'token') return this.world.breakers.gave(NODES[which % 3] as string, MODELS[which % 2] as string);
      this.#trials = this.#trials.filter((other) => other !== trial);
      if (how === 'ok') trial.succeeded();
      else if (how === 'neutral') trial.neutral();
      else trial.failed(how);
    }
  }

  /** Of each breaker: opened, half open, opened or closed, and so on. */
  function inOrder(changes: readonly string[]): void {
    const last = new Map<string, string>();
    for (const change of changes) {
      const [, name = '', to = ''] = /^(\S+) (opened|half open|closed)/.exec(change) ?? [];
      const before = last.get(name) ?? 'closed';
      if (to === before || (to === 'half open' && before !== 'opened')) throw new Error(`${name}: ${to} after ${before}`);
      last.set(name, to);
    }
  }
});
