/**
 * A bandit's state as JSON, and back. Pure. Domains, complexities and tasks stand by name: what this version does not
 * know of a later one's names stays in the arm's total and is otherwise left out.
 */
import { z } from 'zod';
import { invalid } from '../../../proto/contract/faults.ts';
import type { CellFigures } from './cell.ts';
import { Cell } from './cell.ts';
import { AXIS_NAMES, CONTEXT_NAMES } from './coordinates.ts';
import type { ArmMemory, Memory } from './memory.ts';
import type { Shares } from './shares.ts';
import type { TimeFrame } from './time-frame.ts';

const VERSION = 1;
/** In the shares: all requests. */
const ALL = '*';

const weight = z.number('must be a number').min(0, 'must be 0 or more');
const figure = z.number('must be a number');
const cell = z.tuple([weight, figure, weight, weight, figure, weight.optional()], 'must be 5 or 6 numbers');
const name = z.string().min(1).max(128);
const cells = z.record(z.string(), cell);
const tier = z.int('must be a whole number').min(0).max(1000);
const frame = {
  /** Of the weights; they are rescaled where another is set now. */
  halfLifeMs: z.number().min(1, 'must be 1 or more'),
  /** Half-lives since 1970 that all weights refer to; null: nothing came yet. */
  reference: z.int('must be a whole number').nullable(),
};
const SCHEMA = z.object({
  version: z.literal(VERSION, `must be ${VERSION}`),
  ...frame,
  arms: z.array(z.object({ model: name, tier, total: cell, axes: cells, contexts: cells })),
  /** Of arms that are no longer kept one by one. */
  folded: z.array(z.object({ tier, total: cell })),
  /** By context, or * for all requests: by model. */
  shares: z.object({ ...frame, counts: z.record(z.string(), z.record(name, weight)) }),
});

export type Snapshot = z.infer<typeof SCHEMA>;

/** What of a memory is written. */
export type Written = Pick<Memory, 'frame' | 'arms' | 'folded'>;

export function writeSnapshot(memory: Written, shares: Pick<Shares, 'frame' | 'counts'>): Snapshot {
  return {
    version: VERSION,
    ...written(memory.frame),
    arms: [...memory.arms.values()].map(armFigures),
    folded: [...memory.folded].map(([tier, total]) => ({ tier, total: total.figures() })),
    shares: {
      ...written(shares.frame),
      counts: Object.fromEntries(
        [...shares.counts].map(([place, models]) => [CONTEXT_NAMES[place] ?? ALL, Object.fromEntries(models)]),
      ),
    },
  };
}

/**
 * @param memory empty, to be filled @param shares empty, to be filled
 * @throws Fault INVALID_REQUEST with a violation for each wrong field
 */
export function readSnapshot(value: unknown, memory: Memory, shares: Shares): void {
  const parsed = SCHEMA.safeParse(value);
  if (!parsed.success) {
    throw invalid(parsed.error.issues.map(({ path, message }) => ({ field: fieldOf(path), description: message })));
  }
  const { data } = parsed;
  const scaled = scaler(data, memory.frame);
  for (const { model, tier, total, axes, contexts } of data.arms) {
    const arm = memory.armOf(model, tier);
    arm.total.add(scaled(total));
    for (const [place, figures] of placed(axes, AXIS_NAMES)) memory.axisOf(arm, place).add(scaled(figures));
    for (const [place, figures] of placed(contexts, CONTEXT_NAMES)) memory.contextOf(arm, place).add(scaled(figures));
  }
  for (const { tier, total } of data.folded) memory.foldedOf(tier).add(scaled(total));
  const factor = factorTo(data.shares, shares.frame);
  for (const [context, models] of Object.entries(data.shares.counts)) {
    const place = CONTEXT_NAMES.indexOf(context);
    if (place < 0 && context !== ALL) continue;
    for (const [model, count] of Object.entries(models)) shares.count(place, model, factor * count);
  }
}

function armFigures({ model, tier, total, axes, contexts }: ArmMemory): Snapshot['arms'][number] {
  const named = (cells: Iterable<readonly [number, Cell | undefined]>, names: readonly string[]) =>
    Object.fromEntries([...cells].flatMap(([place, cell]) => (cell ? [[names[place] as string, cell.figures()] as const] : [])));
  return {
    model,
    tier,
    total: total.figures(),
    axes: named(axes.entries(), AXIS_NAMES),
    contexts: named(contexts, CONTEXT_NAMES),
  };
}

function placed(figures: Readonly<Record<string, CellFigures>>, names: readonly string[]): [place: number, CellFigures][] {
  return Object.entries(figures).flatMap(([name, one]): [number, CellFigures][] => {
    const place = names.indexOf(name);
    return place < 0 ? [] : [[place, one]];
  });
}

function written({ halfLifeMs, reference }: TimeFrame) {
  return { halfLifeMs, reference: Number.isFinite(reference) ? reference : null };
}

interface Frame {
  readonly halfLifeMs: number;
  readonly reference: number | null;
}

function scaler(from: Frame, to: TimeFrame): (figures: CellFigures) => Cell {
  const factor = factorTo(from, to);
  return (figures) => {
    const cell = Cell.of(figures);
    cell.scale(factor);
    return cell;
  };
}

/** Moves the frame to where the weights refer to. With another half-life they keep their worth at that moment. */
function factorTo({ halfLifeMs, reference }: Frame, to: TimeFrame): number {
  if (reference === null) return 1;
  const at = reference * halfLifeMs;
  if (halfLifeMs === to.halfLifeMs) to.moveToReference(reference);
  else to.moveTo(at);
  return halfLifeMs === to.halfLifeMs ? 1 : to.weightAt(at);
}

/** arms[0].axes["domain:law"][2] */
function fieldOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part, i) =>
    typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part).slice(0, 64)}`,
  );
  return parts.join('') || 'snapshot';
}
