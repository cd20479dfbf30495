/** What a node makes of commands about its models. */
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ModelStage } from '../../../proto/gen/infermesh/v1/link.ts';
import { ModelState } from '../../../proto/gen/infermesh/v1/types.ts';
import { FakeWork, ShelfWorld } from './world.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING, MODEL_STATE_DRAINING: DRAINING } = ModelState;
const { MODEL_STATE_LOADING: LOADING, MODEL_STATE_RECOVERING: RECOVERING } = ModelState;

const world = (budget = 100) =>
  new ShelfWorld(
    {
      a: { bytes: 40, digest: 'aa11aa11' },
      b: { bytes: 40 },
      c: { bytes: 60, loadMs: 500 },
      'a@bb22bb22': { bytes: 40, digest: 'bb22bb22' },
      far: { bytes: 0, remote: true, loadMs: 1_000_000 },
    },
    budget,
  );

const stagesOf = ({ steps }: { steps: readonly { stage: ModelStage }[] }) => [...new Set(steps.map(({ stage }) => stage))];

describe('a load', () => {
  it('brings one model into memory after the other', async () => {
    const w = world();
    const [one, two] = [w.load('a'), w.load('b')];
    await w.pass(50);
    expect(w.states).toMatchObject({ a: LOADING, b: LOADING });
    expect(w.engines).toHaveLength(1);
    await w.pass(200);
    expect(w.states).toMatchObject({ a: SERVING, b: SERVING });
    expect(stagesOf(one)).toEqual([ModelStage.MODEL_STAGE_LOADING, ModelStage.MODEL_STAGE_DONE]);
    expect(stagesOf(two)).toEqual([ModelStage.MODEL_STAGE_WAITING, ModelStage.MODEL_STAGE_LOADING, ModelStage.MODEL_STAGE_DONE]);
    const again = w.load('a');
    await w.pass(0);
    expect(again.outcome).toBe('done');
    expect(w.engines).toHaveLength(2);
  });

  it('has the model unloaded that was used least lately and has nothing to do', async () => {
    const w = world();
    for (const name of ['a', 'b']) {
      w.load(name);
      await w.pass(200);
    }
    const work = FakeWork.begin(w, 'a');
    const asked = w.load('c');
    await w.pass(1000);
    expect(asked.outcome).toBe('done');
    expect(w.states).toMatchObject({ a: SERVING, b: LOADABLE, c: SERVING });
    expect(w.events).toContainEqual({ type: 'model_unloading', model: 'b', why: 'room', inFlight: 0 });
    expect(work?.handedBack).toBe(false);
  });

  it('is refused where all the others are at work, with what it needs, the budget and what is in memory', async () => {
    const w = world();
    for (const name of ['a', 'b']) {
      w.load(name);
      await w.pass(200);
    }
    for (const name of ['a', 'b']) FakeWork.begin(w, name);
    const asked = w.load('c');
    await w.pass(0);
    expect(asked.outcome).toMatchObject({
      reason: 'NO_ROOM',
      message: expect.stringMatching(
        /^c needs 1 MB of memory; the budget is 1 MB .*--memory-budget.*a 1 MB at work, b 1 MB at work/,
      ),
    });
    expect(w.states.c).toBe(LOADABLE);
  });

  it('is refused where the budget has room and the machine has none', async () => {
    const w = world();
    w.free = 30;
    const asked = w.load('a');
    await w.pass(200);
    expect(asked.outcome).toMatchObject({ reason: 'NO_ROOM', message: expect.stringMatching(/of the machine's memory/) });
    w.free = 50;
    w.load('a');
    await w.pass(200);
    expect(w.states.a).toBe(SERVING);
  });

  it('waits for a model that is on its way out anyway', async () => {
    const w = world();
    for (const name of ['a', 'b']) {
      w.load(name);
      await w.pass(200);
    }
    const works = ['a', 'b'].map((name) => FakeWork.begin(w, name));
    w.unload('a', 10_000);
    const asked = w.load('c');
    await w.pass(1000);
    expect(asked.steps.at(-1)?.stage).toBe(ModelStage.MODEL_STAGE_WAITING);
    works[0]?.over();
    await w.pass(1000);
    expect(asked.outcome).toBe('done');
    expect(w.states).toMatchObject({ a: LOADABLE, b: SERVING, c: SERVING });
  });

  it('at the start has nobody unloaded', async () => {
    const w = world();
    const asked = ['a', 'b', 'c'].map((name) => w.load(name, { atStart: true }));
    await w.pass(2000);
    expect(asked.map(({ reason }) => reason)).toEqual(['done', 'done', 'NO_ROOM']);
  });

  it('of a model that nobody announced keeps it, and forgets it where that fails', async () => {
    const w = world();
    expect(w.load('nothing').reason).toBeUndefined();
    await w.pass(0);
    expect(w.states).not.toHaveProperty('nothing');
    w.load('a@bb22bb22');
    await w.pass(200);
    expect(w.shelf.place('a')?.served.digest).toBe('sha256:bb22bb22');
    const other = w.load('a@cc33cc33');
    await w.pass(0);
    expect(other.outcome).toMatchObject({ reason: 'INVALID_REQUEST', message: expect.stringMatching(/bb22bb22; swap a for/) });
  });

  it('of a server that is away holds up no other, and ends when it is unloaded', async () => {
    const w = world();
    const [far, near] = [w.load('far'), w.load('a')];
    await w.pass(200);
    expect([far.outcome, near.outcome]).toEqual([undefined, 'done']);
    w.unload('far');
    await w.pass(0);
    expect(far.reason).toBe('ENGINE_FAILED');
    expect(w.states.far).toBe(LOADABLE);
  });
});

describe('a load on demand', () => {
  it('does not have a model unloaded that was used within 30 s', async () => {
    const w = world();
    for (const name of ['a', 'b']) {
      w.load(name);
      await w.pass(200);
    }
    const refused = w.load('c', { onDemand: true });
    await w.pass(0);
    expect(refused.reason).toBe('NO_ROOM');
    await w.pass(30_000);
    const taken = w.load('c', { onDemand: true });
    await w.pass(1000);
    expect(taken.reason).toBe('done');
    expect(w.states).toMatchObject({ a: LOADABLE, b: SERVING });
  });

  it('has a model unloaded that nobody used but the canaries of routers', async () => {
    const w = world();
    for (const name of ['a', 'b']) {
      w.load(name);
      await w.pass(200);
    }
    await w.pass(30_000);
    for (const name of ['a', 'b']) FakeWork.begin(w, name, true)?.over();
    const taken = w.load('c', { onDemand: true });
    await w.pass(1000);
    expect(taken.outcome).toBe('done');
    expect(w.states).toMatchObject({ a: LOADABLE, b: SERVING, c: SERVING });
  });

  it('is refused while memory is short, unlike that of an operator', async () => {
    const w = world();
    w.shelf.hold('memory is at 90 %');
    const [refused, taken] = [w.load('a', { onDemand: true }), w.load('b')];
    await w.pass(200);
    expect(refused.outcome).toMatchObject({ reason: 'NO_ROOM', message: expect.stringMatching(/memory is at 90 %/) });
    expect(taken.outcome).toBe('done');
    w.shelf.hold(undefined);
    w.load('a', { onDemand: true });
    await w.pass(200);
    expect(w.states.a).toBe(SERVING);
  });

  it('that failed is tried again after pauses that grow', async () => {
    const w = world();
    w.facts.a!.fails = true;
    const pauses: number[] = [];
    for (let failures = 0; failures < 8; failures++) {
      const failed = w.load('a', { onDemand: true });
      await w.pass(200);
      expect(failed.reason).toBe('ENGINE_FAILED');
      const early = w.load('a', { onDemand: true });
      await w.pass(0);
      expect(early.outcome).toMatchObject({ reason: 'MODEL_UNAVAILABLE', retryAfterMs: expect.any(Number) });
      const restMs = (early.outcome as { retryAfterMs: number }).retryAfterMs;
      pauses.push(Math.round(restMs / 1000));
      w.clock.advance(restMs);
    }
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
    w.facts.a!.fails = false;
    w.load('a', { onDemand: true });
    await w.pass(200);
    expect(w.states.a).toBe(SERVING);
    expect(w.events.filter(({ type }) => type === 'model_load_failed')).toHaveLength(8);
  });
});

describe('an unload', () => {
  it('lets what runs finish, takes nothing new, and hands back what is left at the limit', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    const [short, long] = [FakeWork.begin(w, 'a'), FakeWork.begin(w, 'a')];
    const asked = w.unload('a', 1000);
    await w.pass(500);
    expect(w.states.a).toBe(DRAINING);
    expect(w.shelf.place('a')?.current).toBeUndefined();
    short?.over();
    expect(asked.steps.at(-1)).toEqual({ stage: ModelStage.MODEL_STAGE_DRAINING, fraction: 0.5 });
    await w.pass(1000);
    expect([short?.handedBack, long?.handedBack]).toEqual([false, true]);
    expect(asked.outcome).toBe('done');
    expect(w.states.a).toBe(LOADABLE);
    expect(w.bytes).toBe(0);
  });

  it('goes before a load of the same model that came after it', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    FakeWork.begin(w, 'a');
    const [out, back] = [w.unload('a', 500), w.load('a')];
    await w.pass(200);
    expect([out.outcome, back.outcome]).toEqual([undefined, undefined]);
    expect(back.steps).toEqual([{ stage: ModelStage.MODEL_STAGE_WAITING, fraction: 0 }]);
    await w.pass(1000);
    expect(w.states.a).toBe(SERVING);
    expect(w.engines.map(({ disposals }) => disposals)).toEqual([1, 0]);
  });

  it('has a model go that came in the place of one whose load had failed', async () => {
    const w = new ShelfWorld({ 'a@aa11aa11': { bytes: 40, fails: true } }, 100);
    w.load('a@aa11aa11');
    const again = w.load('a@aa11aa11');
    await w.pass(50);
    const out = w.unload('a');
    await w.pass(60);
    w.facts['a@aa11aa11']!.fails = false;
    await w.pass(500);
    expect([again.outcome, out.outcome]).toEqual(['done', 'done']);
    expect([w.states.a, w.bytes]).toEqual([LOADABLE, 0]);
  });

  it('leaves nobody behind who listens for the end of the node', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    const { signal } = new AbortController();
    const work = FakeWork.begin(w, 'a');
    const drained = w.shelf.place('a')?.current?.drain(1000, () => {}, signal);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    work?.over();
    await drained;
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('of a model that the node does not know is an error', async () => {
    const w = world();
    const asked = w.unload('nothing');
    await w.pass(0);
    expect(asked.reason).toBe('MODEL_NOT_FOUND');
  });
});

describe('a swap', () => {
  it('gives what comes to the new one once that is ready, and drains the old', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    const before = FakeWork.begin(w, 'a');
    const asked = w.swap('a', 'b', 1000);
    await w.pass(50);
    expect(FakeWork.begin(w, 'a')?.engine).toBe(w.engines[0]);
    await w.pass(100);
    expect(w.states).toMatchObject({ a: DRAINING, b: SERVING });
    before?.over();
    await w.pass(2000);
    expect(asked.outcome).toBe('done');
    expect(w.states).toMatchObject({ a: LOADABLE, b: SERVING });
  });

  it('of two versions of one model lets it serve throughout', async () => {
    const w = world();
    w.load('a', { slots: 7 });
    await w.pass(200);
    const before = FakeWork.begin(w, 'a');
    const seen = new Set<number | undefined>();
    w.shelf.onChange(() => seen.add(w.states.a));
    const asked = w.swap('a', 'a@bb22bb22', 5000);
    await w.pass(200);
    expect(w.shelf.place('a')?.served).toMatchObject({ digest: 'sha256:bb22bb22', slots: 7 });
    const after = FakeWork.begin(w, 'a');
    expect([before?.engine, after?.engine]).toEqual(w.engines);
    expect(w.shelf.place('a')?.running).toBe(2);
    before?.over();
    await w.pass(100);
    expect(asked.outcome).toBe('done');
    expect([...seen]).toEqual([SERVING]);
    expect(w.engines.map(({ disposals }) => disposals)).toEqual([1, 0]);
  });

  it('leaves the old one as it is where the new one cannot be loaded', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    w.facts.b!.fails = true;
    const failed = w.swap('a', 'b');
    await w.pass(500);
    expect(failed.reason).toBe('ENGINE_FAILED');
    const large = w.swap('a', 'c', 0);
    await w.pass(500);
    expect(large.reason).toBe('done');
    const tooLarge = new ShelfWorld({ a: { bytes: 40 }, c: { bytes: 61 } }, 100);
    tooLarge.load('a');
    await tooLarge.pass(200);
    const refused = tooLarge.swap('a', 'c');
    await tooLarge.pass(0);
    expect(refused.reason).toBe('NO_ROOM');
    expect(tooLarge.states).toEqual({ a: SERVING, c: LOADABLE });
  });

  it('wants a model that is in memory', async () => {
    const w = world();
    const asked = w.swap('a', 'b');
    await w.pass(0);
    expect(asked.outcome).toMatchObject({ reason: 'INVALID_REQUEST', message: 'from: must be a model in memory; a is not' });
  });
});

describe('a shelf that ends', () => {
  it('ends every command, and each engine once', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    FakeWork.begin(w, 'a');
    const asked = [w.unload('a', 60_000), w.load('a'), w.load('b'), w.load('c'), w.swap('b', 'c', 0)];
    await w.pass(20);
    await w.shelf.dispose();
    await Promise.all(asked.map(({ done }) => done));
    // The first was let go at once; nothing else was begun.
    expect(asked.map(({ reason }) => reason)).toEqual(['done', 'DRAINING', 'DRAINING', 'DRAINING', 'DRAINING']);
    expect(w.engines.every(({ disposals }) => disposals === 1)).toBe(true);
    await expect(w.shelf.load('b', {})).rejects.toMatchObject({ reason: 'DRAINING' });
  });

  it('tells of an engine that died and came back', async () => {
    const w = world();
    w.load('a');
    await w.pass(200);
    const [engine] = w.engines;
    engine?.become({ type: 'crashed', message: 'SIGKILL', restartInMs: 9 });
    expect(w.states.a).toBe(RECOVERING);
    expect(w.shelf.crashes).toBe(1);
    engine?.become({ type: 'ready', model: engine.served });
    expect(w.states.a).toBe(SERVING);
    w.unload('a');
    await w.pass(0);
    expect(w.shelf.crashes).toBe(1);
  });
});
