/**
 * What a bandit has learnt, in parts that are passed on one by one: an arm each, the arms that are no longer kept one by
 * one, and what was served. A part is a snapshot with nothing else in it. Pure.
 */
import { Fault } from '../../../proto/contract/faults.ts';
import { axesOf } from './coordinates.ts';
import type { Bounds } from './memory.ts';
import { Memory } from './memory.ts';
import type { ArmContribution, FoldedContribution } from './pool.ts';
import { ALL, Shares } from './shares.ts';
import type { Snapshot, Written } from './snapshot.ts';
import { readSnapshot, writeSnapshot } from './snapshot.ts';
import { TimeFrame } from './time-frame.ts';

export type Part = Snapshot;

const ARM = 'arm:';
export const FOLDED = 'folded';
export const SHARES = 'shares';
/** Weights may refer to the end of the present half-life, and clocks differ. */
const MOST_AHEAD = 1;

export interface PartOptions extends Bounds {
  readonly halfLifeMs: number;
  readonly shareHalfLifeMs: number;
}

export type ReadPart =
  | ({ readonly kind: 'arm' } & ArmContribution)
  | ({ readonly kind: 'folded' } & FoldedContribution)
  | { readonly kind: 'shares'; readonly shares: Shares };

export function nameOfArm(model: string): string {
  return `${ARM}${model}`;
}

/** @returns undefined where no part has such a name */
export function kindOf(name: string): 'folded' | 'shares' | { readonly model: string } | undefined {
  if (name === FOLDED || name === SHARES) return name;
  return name.startsWith(ARM) && name.length > ARM.length ? { model: name.slice(ARM.length) } : undefined;
}

export function partOf(name: string, memory: Memory, shares: Shares): Part | undefined {
  const kind = kindOf(name);
  const { frame, folded } = memory;
  const none = { frame, arms: new Map(), folded: new Map() };
  const nothing = new Shares(new TimeFrame(shares.frame.halfLifeMs), 1);
  if (kind === 'shares') return sharesPart(memory, shares);
  if (kind === 'folded') return folded.size > 0 ? writeSnapshot({ ...none, folded }, nothing) : undefined;
  const arm = kind && memory.arms.get(kind.model);
  return arm && writeSnapshot({ ...none, arms: new Map([[arm.model, arm]]) }, nothing);
}

/** Of all requests together: what each context got is as many figures as models and contexts, and fades within hours. */
function sharesPart(memory: Memory, { frame, counts }: Shares): Part | undefined {
  const all = counts.get(ALL);
  const none: Written = { frame: new TimeFrame(memory.frame.halfLifeMs), arms: new Map(), folded: new Map() };
  return all && writeSnapshot(none, { frame, counts: new Map([[ALL, all]]) });
}

/** @param now in ms, wall clock @returns undefined where it is no such part, or of a time that has not come */
export function readPart(name: string, part: unknown, options: PartOptions, now: number): ReadPart | undefined {
  const kind = kindOf(name);
  if (!kind) return undefined;
  const memory = new Memory(new TimeFrame(options.halfLifeMs), options);
  const shares = new Shares(new TimeFrame(options.shareHalfLifeMs), options.maxArms);
  try {
    readSnapshot(part, memory, shares);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
  if (isAhead(memory.frame, now) || isAhead(shares.frame, now)) return undefined;
  const { reference } = memory.frame;
  if (kind === 'shares') return { kind, shares };
  if (kind === 'folded') return { kind, reference, tiers: memory.folded };
  const arm = memory.arms.get(kind.model);
  if (!arm) return undefined;
  // A context is read beside what it is part of.
  for (const place of arm.contexts.keys()) if (!axesOf(place).every((axis) => arm.axes[axis])) arm.contexts.delete(place);
  return { kind: 'arm', reference, arm };
}

function isAhead({ reference, halfLifeMs }: TimeFrame, now: number): boolean {
  return reference > Math.floor(now / halfLifeMs) + MOST_AHEAD;
}
