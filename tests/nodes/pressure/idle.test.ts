import { describe, expect, test } from 'vitest';
import { tightestGpu } from '../../../nodes/pressure/gpu-memory.ts';
import { largestIdle } from '../../../nodes/pressure/idle.ts';
import { freeIn, roomIn } from '../../../nodes/pressure/room.ts';
import { ModelState } from '../../../proto/gen/infermesh/v1/types.ts';

const GIB = 2 ** 30;
const { MODEL_STATE_SERVING: SERVING, MODEL_STATE_LOADING: LOADING, MODEL_STATE_LOADABLE: LOADABLE } = ModelState;

function model(name: string, gib: number, { state = SERVING as ModelState, running = 0, remote = false, gpuShare = 0 } = {}) {
  return { name, state, running, remote, memoryBytes: gib * GIB, served: { sizeBytes: gib * GIB, gpuShare } };
}

describe('of the models in memory', () => {
  test('the largest without work is the one that goes', () => {
    const models = [model('a', 1), model('b', 4, { running: 1 }), model('c', 3), model('d', 2)];
    expect(largestIdle(models, 'memory')).toEqual({ name: 'c', kind: 'some' });
  });

  test('none goes that has work, loads, takes no memory, or none of ours', () => {
    const busy = [model('a', 1, { running: 2 }), model('b', 2, { state: LOADING }), model('c', 9, { remote: true })];
    expect(largestIdle(busy, 'memory')).toEqual({ name: undefined, kind: 'none' });
    expect(largestIdle([model('a', 1, { running: 1 }), model('weightless', 0)], 'memory').kind).toBe('none');
    expect(largestIdle([], 'memory')).toEqual({ name: undefined, kind: 'none' });
  });

  test('the last one is told apart: others that are not in memory serve nobody', () => {
    const others = [model('b', 2, { state: LOADABLE }), model('c', 2, { state: ModelState.MODEL_STATE_DRAINING })];
    expect(largestIdle([model('a', 1), ...others, model('d', 1, { remote: true })], 'memory')).toEqual({
      name: 'a',
      kind: 'last',
    });
  });

  test('for memory of GPUs only those count that lie there, by what lies there', () => {
    const models = [model('a', 9), model('b', 4, { gpuShare: 0.5 }), model('c', 3, { gpuShare: 1 })];
    expect(largestIdle(models, 'gpu')).toEqual({ name: 'c', kind: 'some' });
    expect(largestIdle(models.slice(0, 2), 'gpu')).toEqual({ name: 'b', kind: 'last' });
  });
});

describe('memory of GPUs', () => {
  const used = (...gib: number[]) => gib.map((each) => ({ memoryUsedBytes: each * GIB }));
  const sized = (...gib: number[]) => gib.map((each) => ({ memoryBytes: each * GIB }));
  const standing = (size: number, use: number) => tightestGpu(sized(size), used(use))?.standing;

  test('is short when less than half of the rest is left that engines leave', () => {
    expect([79, 79.45, 79.6].map((use) => standing(80, use))).toEqual(['free', 'scarce', 'short']);
    expect([7.5, 7.82, 7.9].map((use) => standing(8, use))).toEqual(['free', 'scarce', 'short']);
  });

  test('is that of the one nearest to being short, which need not be the fullest', () => {
    const tightest = tightestGpu(sized(80, 8), used(79, 7.86));
    expect(tightest).toMatchObject({ standing: 'short', memory: { limitBytes: 8 * GIB, usedBytes: 7.86 * GIB } });
  });

  test('that nobody tells of is not known', () => {
    expect([tightestGpu([], []), tightestGpu(sized(24), []), tightestGpu(sized(0), used(3))]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

test('what may still be taken is less for what is loaded on demand: that must not make memory short', () => {
  const machine = { usedBytes: 80 * GIB, limitBytes: 100 * GIB, stalled: 0 };
  expect([roomIn([machine], { high: 0.85 }), freeIn([machine])]).toEqual([5 * GIB, 20 * GIB]);
  const group = { usedBytes: 4 * GIB, limitBytes: 8 * GIB, stalled: 0 };
  expect([roomIn([machine, group], { high: 0.75 }), freeIn([machine, group])]).toEqual([0, 4 * GIB]);
  expect(roomIn([machine, group], { high: 0.9 })).toBeCloseTo(3.2 * GIB, 0);
  const full = { ...machine, usedBytes: 110 * GIB };
  expect([roomIn([full], { high: 0.85 }), freeIn([full])]).toEqual([0, 0]);
});
