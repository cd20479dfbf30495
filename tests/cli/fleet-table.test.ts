import { stripVTControlCharacters } from 'node:util';
import { expect, it } from 'vitest';
import { fleetTable, readableNode } from '../../cli/output/fleet.ts';
import type { Node } from '../../client/index.ts';
import { Node as NodeMessage } from '../../proto/gen/infermesh/v1/admin.ts';
import { ModelState, NodeState, PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';

const load = (model: string, state: ModelState, more = {}) => ({ model, state, running: 0, freeSlots: 4, ...more });
const shelf: Node = NodeMessage.fromPartial({
  id: 'box-1',
  state: NodeState.NODE_STATE_SERVING,
  hardware: { cores: 2, cpuFeatures: ['avx2'], gpus: [{ name: 'NVIDIA L4', memoryBytes: 24e9 }] },
  models: ['ready', 'cold', 'coming', 'going', 'mended'].map((name) => ({ name, slots: 4, decodeTokensPerSecond: 20 })),
  loads: [
    load('ready', ModelState.MODEL_STATE_SERVING, { running: 1 }),
    load('cold', ModelState.MODEL_STATE_LOADABLE, { loadMs: 4200 }),
    load('coming', ModelState.MODEL_STATE_LOADING),
    load('going', ModelState.MODEL_STATE_DRAINING, { running: 2 }),
    load('mended', ModelState.MODEL_STATE_RECOVERING),
  ],
  gpus: [{ use: 0.64, memoryUsedBytes: 9.1e9, temperature: 61.4, power: 58 }],
  pressure: { level: PressureLevel.PRESSURE_LEVEL_HIGH, use: 0.87, limitBytes: 8e9, steps: ['unload', 'smaller-tier'] },
  memoryUsedBytes: 1.2e9,
  cpuUse: 0.5,
  connectedSeconds: 16,
});

const plain = NodeMessage.fromPartial({ id: 'a', state: NodeState.NODE_STATE_SERVING, models: [{ name: 'm', slots: 2 }] });
const lines = (nodes: readonly Node[], width?: number) => stripVTControlCharacters(fleetTable(nodes, width)).split('\n');

it('a node with several models has a line for each, with its state, and tells of its GPUs and its memory', () => {
  expect(lines([shelf, plain])).toEqual([
    '  NODE    STATE     MODEL                SLOTS      SPEED   HARDWARE     CPU   MEMORY     UP',
    '  a       serving   m                      0/2          -   -            0 %      0 B    0 s',
    '  box-1   serving   ready                  1/4   20 tok/s   NVIDIA L4   50 %   1.2 GB   16 s',
    '                    cold     loadable in 4.2 s          -',
    '                    coming             loading          -',
    '                    going         draining 2/4   20 tok/s',
    '                    mended          recovering   20 tok/s',
    '',
    '  box-1  NVIDIA L4: 64 % busy, 9.1 GB of 24 GB, 61 °C, 58 W',
    '  box-1  short of memory, 87 % of 8 GB in use: unload, smaller-tier',
  ]);
});

it('what does not fit a narrow terminal is left out, least needed first', () => {
  const titles = (width: number) => lines([shelf], width)[0]?.trim().split(/ +/);
  expect(titles(100)).toContain('HARDWARE');
  expect(titles(80)).toEqual(['NODE', 'STATE', 'MODEL', 'SLOTS', 'SPEED', 'CPU', 'MEMORY', 'UP']);
  expect(titles(70)).toEqual(['NODE', 'STATE', 'MODEL', 'SLOTS', 'SPEED', 'MEMORY']);
  expect(titles(10)).toEqual(['NODE', 'STATE', 'MODEL', 'SLOTS', 'SPEED']);
  for (const line of lines([shelf], 80)) expect(line.length).toBeLessThanOrEqual(80);
});

it('as JSON its states have names', () => {
  expect(readableNode(shelf)).toMatchObject({
    state: 'serving',
    loads: [{ state: 'serving' }, { state: 'loadable', loadMs: 4200 }, { state: 'loading' }, {}, {}],
    pressure: { level: 'high', steps: ['unload', 'smaller-tier'] },
  });
});
