import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import { ModelStage, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelState, NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { EmbeddingDemand } from '../../router/fleet/embedding-demand.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { FakeClock } from '../support/clock.ts';
import { fakeLink } from './fakes.ts';

const { MODEL_STATE_LOADABLE: LOADABLE, MODEL_STATE_SERVING: SERVING } = ModelState;

let clock: FakeClock;
let fleet: Fleet;
let demand: EmbeddingDemand;

beforeEach(() => {
  clock = new FakeClock();
  fleet = new Fleet(clock, () => {});
  demand = new EmbeddingDemand({ fleet, clock });
});

function node(id: string, loadMs = 3000, name = 'e') {
  const fake = fakeLink(id, 1, clock.now());
  const says = (state: ModelState) => {
    const loads = [{ model: name, state, loadMs, freeSlots: 1 }];
    fleet.report(fake.link, Report.fromPartial({ state: NodeState.NODE_STATE_SERVING, loads }));
  };
  fleet.join(fake.link, () => {});
  fleet.inventory(fake.link, [ServedModel.fromPartial({ name, tasks: ['embed'], slots: 1, contextLength: 256 })]);
  says(LOADABLE);
  return { ...fake, says };
}

function ask(deadlineMs = 10_000, model = '', signal?: AbortSignal) {
  const call: { leftMs?: number; reason?: string } = {};
  const done = demand.ready({ model, deadlineMs, signal }).then(
    (leftMs) => {
      call.leftMs = leftMs;
    },
    (fault: Fault) => {
      call.reason = fault.reason;
    },
  );
  return { call, done };
}

describe('vectors that no node could make now', () => {
  it('wait for a load where it is done first, and for no longer than they may', async () => {
    const [slow, quick] = [node('slow', 9000), node('quick', 2000)];
    const first = ask();
    const second = ask();
    expect([slow.frames('modelCommand'), quick.frames('modelCommand')].map(({ length }) => length)).toEqual([0, 1]);
    clock.advance(1500);
    quick.says(SERVING);
    await Promise.all([first.done, second.done]);
    expect([first.call, second.call]).toEqual([{ leftMs: 8500 }, { leftMs: 8500 }]);
    expect(await demand.ready({ model: '', deadlineMs: 7 })).toBe(7);
  });

  it('look at the fleet once for all who wait for the same model, whenever it changes', async () => {
    const cold = node('n');
    const calls = Array.from({ length: 100 }, () => ask());
    clock.advance(1000);
    const looks = vi.spyOn(fleet, 'links', 'get');
    cold.says(LOADABLE);
    expect(looks).toHaveBeenCalledTimes(1);
    cold.says(SERVING);
    await Promise.all(calls.map(({ done }) => done));
    expect(calls.every(({ call }) => call.leftMs === 9000)).toBe(true);
    looks.mockClear();
    cold.says(SERVING);
    expect(looks).not.toHaveBeenCalled();
  });

  it('wait for nothing where no load would be done in time, or of another model', async () => {
    const cold = node('n');
    const [early, other] = [ask(1000), ask(10_000, 'other')];
    await Promise.all([early.done, other.done]);
    expect([early.call, other.call]).toEqual([{ leftMs: 1000 }, { leftMs: 10_000 }]);
    expect(cold.frames('modelCommand')).toEqual([]);
  });

  it('are refused when nothing came of it: too late, given up, or not to be loaded', async () => {
    const cold = node('n', 500);
    const leave = new AbortController();
    const [late, left, kept] = [ask(600), ask(10_000, '', leave.signal), ask(10_000)];
    leave.abort();
    clock.advance(600);
    const [command] = cold.frames('modelCommand');
    const failure = { code: 8, reason: 'NO_ROOM', message: 'no room', retryAfterMs: 0 };
    const stage = ModelStage.MODEL_STAGE_UNSPECIFIED;
    cold.link.commands.progressed({ command: command?.command ?? 0, stage, fraction: 0, failure });
    await Promise.all([late.done, left.done, kept.done]);
    expect([late.call.reason, left.call.reason, kept.call.leftMs]).toEqual(['DEADLINE_EXCEEDED', 'CANCELLED', 9400]);
  });
});
