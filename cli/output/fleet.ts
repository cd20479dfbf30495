/** The fleet as a table, one line for each model of each node. */
import type { Node } from '../../client/index.ts';
import { NodeState } from '../../client/index.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import { nodeStateName, tierName } from './names.ts';
import { table } from './table.ts';
import { harmless, style } from './terminal.ts';
import { bytes, duration, percent, rate } from './units.ts';

const COLUMNS = [
  { title: 'NODE' },
  { title: 'STATE' },
  { title: 'MODEL' },
  { title: 'SLOTS', align: 'right' },
  { title: 'SPEED', align: 'right' },
  { title: 'HARDWARE' },
  { title: 'CPU', align: 'right' },
  { title: 'MEMORY', align: 'right' },
  { title: 'UP', align: 'right' },
] as const;

export function fleetTable(nodes: readonly Node[]): string {
  return table(COLUMNS, nodes.toSorted((a, b) => (a.id < b.id ? -1 : 1)).flatMap(rowsOf));
}

function rowsOf(node: Node): string[][] {
  const models = node.models.length > 0 ? node.models : [undefined];
  return models.map((model, index) => {
    const load = node.loads.find((one) => one.model === model?.name);
    const served = [
      model ? harmless(model.name) : '-',
      model ? `${load?.running ?? 0}/${model.slots}` : '-',
      model ? rate(speedOf(model, load)) : '-',
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

/** Tokens per second that it writes; that it reads, where it writes none. */
export function speedOf(model: Node['models'][number], load?: Node['loads'][number]): number {
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
  };
}
