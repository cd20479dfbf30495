/** What goes back to a router for each command about a model. */
import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, expect, it, vi } from 'vitest';
import { obey } from '../../../nodes/shelf/commands.ts';
import type { ModelShelf, OnStep } from '../../../nodes/shelf/view.ts';
import { Code, Fault } from '../../../proto/contract/faults.ts';
import type { ModelProgress } from '../../../proto/gen/infermesh/v1/link.ts';
import { ModelCommand, ModelStage } from '../../../proto/gen/infermesh/v1/link.ts';

const { MODEL_STAGE_LOADING: LOADING, MODEL_STAGE_DONE: DONE } = ModelStage;

const shelf = {
  models: [],
  onChange: () => () => {},
  load: vi.fn<ModelShelf['load']>(async () => {}),
  unload: vi.fn<ModelShelf['unload']>(async () => {}),
  swap: vi.fn<ModelShelf['swap']>(async () => {}),
  hold() {},
  dispose: async () => {},
} satisfies ModelShelf;
let answers: ModelProgress[];

beforeEach(() => {
  vi.clearAllMocks();
  answers = [];
});

async function asked(action: NonNullable<ModelCommand['action']>): Promise<ModelProgress | undefined> {
  obey(shelf, ModelCommand.fromPartial({ command: 7, action }), (progress) => answers.push(progress));
  await turn();
  return answers.at(-1);
}

const load = (value: object) =>
  asked({ $case: 'load', value: { model: 'm', pull: false, slots: undefined, onDemand: false, ...value } });

it('tells how far it is in whole percents, under its number, and then its end', async () => {
  shelf.load.mockImplementation(async (_model, _wish, onStep?: OnStep) => {
    for (let thousandths = 0; thousandths <= 1000; thousandths++) onStep?.({ stage: LOADING, fraction: thousandths / 1000 });
    onStep?.({ stage: DONE, fraction: 1 });
  });
  await load({ model: 'm@0123abcd', slots: 8, pull: true, onDemand: true });
  expect(shelf.load).toHaveBeenCalledWith('m@0123abcd', { slots: 8, pull: true, onDemand: true }, expect.any(Function));
  expect(answers.length).toBeLessThan(105);
  expect(answers[0]).toEqual({ command: 7, stage: LOADING, fraction: 0 });
  expect(answers.at(-1)).toEqual({ command: 7, stage: DONE, fraction: 1 });
});

it('tells why it failed, with the time after which to come back', async () => {
  shelf.load.mockImplementation(async (_model, _wish, onStep?: OnStep) => {
    onStep?.({ stage: LOADING, fraction: 0.25 });
    throw new Fault('NO_ROOM', 'm needs more', { retryAfterMs: 1500.2 });
  });
  const failure = { code: Code.RESOURCE_EXHAUSTED, reason: 'NO_ROOM', message: 'm needs more', retryAfterMs: 1501 };
  expect(await load({})).toEqual({ command: 7, stage: LOADING, fraction: 0.25, failure });
  expect(answers).toHaveLength(2);
});

it('says nothing of what an unexpected error says', async () => {
  shelf.load.mockRejectedValue(new TypeError('a secret'));
  expect(await load({})).toMatchObject({ failure: { reason: 'INTERNAL', message: 'unexpected TypeError' } });
});

it('passes unloads and swaps on, for an hour of draining at most', async () => {
  await asked({ $case: 'unload', value: { model: 'm', limitMs: 4e9 } });
  expect(shelf.unload).toHaveBeenCalledWith('m', 3_600_000, expect.any(Function));
  await asked({ $case: 'swap', value: { from: 'm', to: 'm@0123abcd', pull: true, limitMs: 5 } });
  expect(shelf.swap).toHaveBeenCalledWith('m', 'm@0123abcd', { pull: true, limitMs: 5 }, expect.any(Function));
});

it.each([
  [{ model: '' }, /^model must be NAME, or NAME@.*received 0 characters/],
  [{ model: '../../etc/passwd' }, /^model .*received 16 characters/],
  [{ model: 'file:/etc/passwd' }, /^model /],
  [{ model: 'm@' }, /^model /],
  [{ model: 'm@0123ABCD' }, /^model /],
  [{ model: 'm@0123abc' }, /^model /],
  [{ model: `m@${'a'.repeat(65)}` }, /^model /],
  [{ model: 'a'.repeat(129) }, /^model .*129 characters/],
  [{ slots: 0 }, /^slots must be from 1 to 16384, received 0$/],
  [{ slots: 16_385 }, /^slots must be from 1 to 16384, received 16385$/],
])('refuses to load %j', async (value, message) => {
  expect(await load(value)).toMatchObject({ failure: { reason: 'INVALID_REQUEST', message: expect.stringMatching(message) } });
  expect(shelf.load).not.toHaveBeenCalled();
});

it('refuses what it does not know, and names that are none elsewhere', async () => {
  obey(shelf, ModelCommand.fromPartial({ command: 9 }), (progress) => answers.push(progress));
  await asked({ $case: 'unload', value: { model: 'm@0123abcd', limitMs: 0 } });
  await asked({ $case: 'swap', value: { from: 'a b', to: 'm', pull: false, limitMs: 0 } });
  expect(answers.map(({ command, failure }) => [command, failure?.reason])).toEqual([
    [9, 'INVALID_REQUEST'],
    [7, 'INVALID_REQUEST'],
    [7, 'INVALID_REQUEST'],
  ]);
});
