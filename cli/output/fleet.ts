/** The fleet as a table, one line for each model of each node; below it what its GPUs do and where memory is short. */
import type { Node } from '../../client/index.ts';
import { ModelState, NodeState, PressureLevel } from '../../client/index.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import { modelStateName, nodeStateName, pressureLevelName, tierName } from './names.ts';
import type { Column } from './table.ts';
import { table, widthOf } from './table.ts';
import { harmless, style } from './terminal.ts';
import { bytes, duration, milliseconds, percent, rate } from './units.ts';

/** Where there is no room for all, those with the greatest rank go first. */
const COLUMNS: readonly (Column & { readonly rank: number })[] = [
  { title: 'NODE', rank: 0 },
  { title: 'STATE', rank: 0 },
  { title: 'MODEL', rank: 0 },
  { title: 'SLOTS', align: 'right', rank: 0 },
  { title: 'SPEED', align: 'right', rank: 0 },
  { title: 'HARDWARE', rank: 4 },
  { title: 'CPU', align: 'right', rank: 2 },
  { title: 'MEMORY', align: 'right', rank: 1 },
  { title: 'UP', align: 'right', rank: 3 },
];
const LEAST_COLUMNS = COLUMNS.filter(({ rank }) => rank === 0).length;

/** @param width of the terminal, in characters */
export function fleetTable(nodes: readonly Node[], width = Number.POSITIVE_INFINITY): string {
  const sorted = nodes.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const notes = sorted.flatMap(notesOf);
  return [withinWidth(sorted.flatMap(rowsOf), width), ...(notes.length > 0 ? ['', ...notes] : [])].join('\n');
}

function withinWidth(rows: readonly (readonly string[])[], width: number): string {
  let kept = COLUMNS.map((_, index) => index);
  for (;;) {
    const columns = kept.map((index) => COLUMNS[index] as Column);
    const text = table(
      columns,
      rows.map((row) => kept.map((index) => row[index] ?? '')),
    );
    if (kept.length === LEAST_COLUMNS || text.split('\n').every((line) => widthOf(line) <= width)) return text;
    const rankOf = (index: number) => COLUMNS[index]?.rank ?? 0;
    const last = Math.max(...kept.map(rankOf));
    kept = kept.filter((index) => rankOf(index) < last);
  }
}

function rowsOf(node: Node): string[][] {
  const models = node.models.length > 0 ? node.models : [undefined];
  return models.map((model, index) => {
    const load = node.loads.find((one) => one.model === model?.name);
    const served = [
      model ? harmless(model.name) : '-',
      model ? slotsOf(model, load) : '-',
      model && !isCold(load) ? rate(speedOf(model, load)) : '-',
    ];
    if (index > 0) return ['', '', ...served];
    const { memoryUsedBytes, cpuUse, connectedSeconds } = node;
    return [
      style('bold', harmless(node.id)),
      stateOf(node),
      ...served,
      hardwareOf(node),
      percent(cpuUse),
      bytes(memoryUsedBytes),
      duration(connectedSeconds),
    ];
  });
}

type Load = Node['loads'][number];

function isCold(load: Load | undefined): boolean {
  return load?.state === ModelState.MODEL_STATE_LOADABLE || load?.state === ModelState.MODEL_STATE_LOADING;
}

/** In use and in all; of one that serves nobody now, why. */
function slotsOf({ slots }: Node['models'][number], load: Load | undefined): string {
  const { running = 0, state = ModelState.MODEL_STATE_UNSPECIFIED, loadMs = 0 } = load ?? {};
  switch (state) {
    case ModelState.MODEL_STATE_UNSPECIFIED:
    case ModelState.MODEL_STATE_SERVING:
      return `${running}/${slots}`;
    case ModelState.MODEL_STATE_LOADABLE:
      return style('dim', loadMs > 0 ? `loadable in ${milliseconds(loadMs)}` : 'loadable');
    case ModelState.MODEL_STATE_DRAINING:
      return `${style('yellow', 'draining')} ${running}/${slots}`;
    default:
      return style('yellow', modelStateName(state));
  }
}

/** What its accelerators do, and how short of memory it is. */
function notesOf({ id, hardware, gpus, pressure }: Node): string[] {
  const name = style('bold', harmless(id));
  const lines = gpus.map((use, i) => `  ${name}  ${gpuLine(hardware?.gpus[i], use)}`);
  if (pressure && pressure.level >= PressureLevel.PRESSURE_LEVEL_HIGH) {
    const short = style(pressure.level >= PressureLevel.PRESSURE_LEVEL_CRITICAL ? 'red' : 'yellow', 'short of memory');
    const steps = pressure.steps.length > 0 ? `: ${harmless(pressure.steps.join(', '))}` : '';
    lines.push(`  ${name}  ${short}, ${percent(pressure.use)} of ${bytes(pressure.limitBytes)} in use${steps}`);
  }
  return lines;
}

type Gpu = NonNullable<Node['hardware']>['gpus'][number];

function gpuLine(gpu: Gpu | undefined, { use, memoryUsedBytes, temperature, power }: Node['gpus'][number]): string {
  const memory = gpu && gpu.memoryBytes > 0 ? `${bytes(memoryUsedBytes)} of ${bytes(gpu.memoryBytes)}` : bytes(memoryUsedBytes);
  const figures = [
    use === undefined ? [] : `${percent(use)} busy`,
    memory,
    temperature === undefined ? [] : `${Math.round(temperature)} °C`,
    power === undefined ? [] : `${Math.round(power)} W`,
  ].flat();
  return `${harmless(gpu?.name ?? 'GPU')}: ${figures.join(', ')}`;
}

/** Tokens per second that it writes; that it reads, where it writes none. */
export function speedOf(model: Node['models'][number], load?: Load): number {
  if (embedsOnly(model.tasks)) return model.prefillTokensPerSecond;
  return load?.decodeTokensPerSecond || model.decodeTokensPerSecond;
}

function stateOf({ state }: Node): string {
  const name = nodeStateName(state);
  if (state === NodeState.NODE_STATE_SERVING) return style('green', name);
  return style(state === NodeState.NODE_STATE_LOADING ? 'yellow' : 'red', name);
}

const WIDE = ['avx512f', 'avx2', 'avx', 'sve', 'neon'];

/** What computes: the GPUs, else the cores and their widest vectors. */
export function hardwareOf({ hardware }: Pick<Node, 'hardware'>): string {
  if (!hardware) return '-';
  const [gpu, ...others] = hardware.gpus;
  if (gpu) return harmless(others.length > 0 ? `${others.length + 1} x ${gpu.name}` : gpu.name);
  const vectors = WIDE.find((name) => hardware.cpuFeatures.includes(name));
  return `${hardware.cores} ${hardware.cores === 1 ? 'core' : 'cores'}${vectors ? ` ${vectors}` : ''}`;
}

/** For JSON: names instead of the protocol's numbers. */
export function readableNode(node: Node): object {
  return {
    ...node,
    state: nodeStateName(node.state),
    models: node.models.map((model) => ({ ...model, tier: tierName(model.tier) })),
    loads: node.loads.map((load) => ({ ...load, state: modelStateName(load.state) })),
    ...(node.pressure ? { pressure: { ...node.pressure, level: pressureLevelName(node.pressure.level) } } : {}),
  };
}
