import { expect, it } from 'vitest';
import { checkControl, modelName, versionOf } from '../../proto/contract/control-bounds.ts';
import { ControlModelRequest, LoadAction, SwapAction, UnloadAction } from '../../proto/gen/infermesh/v1/admin.ts';

type Action = ControlModelRequest['action'];
const load = (more: Partial<LoadAction>): Action => ({ $case: 'load', value: LoadAction.fromPartial({ model: 'm', ...more }) });
const unload = (more: Partial<UnloadAction>): Action => ({
  $case: 'unload',
  value: UnloadAction.fromPartial({ model: 'm', ...more }),
});
const swap = (more: Partial<SwapAction>): Action => ({
  $case: 'swap',
  value: SwapAction.fromPartial({ from: 'a', to: 'b', ...more }),
});
const check = (action: Action, nodes: string[] = []) => checkControl({ ...ControlModelRequest.fromPartial({ nodes }), action });

it.each<[Action, string[]?]>([
  [load({ slots: 1 })],
  [load({ slots: 16_384, model: `m@${'0a'.repeat(32)}` })],
  [unload({ limitMs: 0 }), ['gpu-1', 'gpu-2']],
  [unload({ limitMs: 3_600_000 })],
  [swap({ from: 'm@01234567', to: 'm' })],
])('what is within bounds is taken as it is: %j', (action, nodes) => {
  expect(check(action, nodes)).toBe(action);
});

it.each<[string, string, Action, string[]?]>([
  ['action', 'received none', undefined],
  ['load.model', 'received 4 bytes', load({ model: '../m' })],
  ['load.model', 'received 5 bytes', load({ model: 'm@123' })],
  ['load.model', 'received 67 bytes', load({ model: `m@${'a'.repeat(65)}` })],
  ['load.slots', 'must be from 1 to 16384, received 0', load({ slots: 0 })],
  ['load.slots', 'received 16385', load({ slots: 16_385 })],
  ['load.slots', 'must be a whole number', load({ slots: 1.5 })],
  ['nodes[0]', 'lower-case letters', load({}), ['A Node']],
  ['nodes', 'must be at most 256, received 257', load({}), Array.from({ length: 257 }, () => 'n')],
  ['unload.limit_ms', 'must be from 0 to 3600000, received -1', unload({ limitMs: -1 })],
  ['swap.limit_ms', 'received 3600001', swap({ limitMs: 3_600_001 })],
  ['swap.from', 'an empty string', swap({ from: '' })],
  ['swap.to', 'must be another than swap.from', swap({ to: 'a' })],
])('%s is refused: %s', (field, description, action, nodes) => {
  expect(() => check(action, nodes)).toThrow(
    expect.objectContaining({
      reason: 'INVALID_REQUEST',
      violations: [{ field, description: expect.stringContaining(description) }],
    }),
  );
});

it('a version is told from its name', () => {
  expect([modelName('m:7b@01234567'), versionOf('m:7b@01234567')]).toEqual(['m:7b', '01234567']);
  expect([modelName('m:7b'), versionOf('m:7b')]).toEqual(['m:7b', '']);
});
