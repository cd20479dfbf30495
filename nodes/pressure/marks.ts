/** The marks that an operator may move. Pure. */
import { Fault } from '../../proto/contract/faults.ts';
import type { Marks } from './pressure.ts';

/** The kernel kills when nothing is left, and what is under way takes some more. */
const CRITICAL = 0.95;

/** As settings give them: 85%. */
export interface MarkSettings {
  readonly memoryHigh: string;
  readonly memoryLow: string;
}

/** @throws Fault INVALID_REQUEST where the low mark is not under the high one */
export function marksOf({ memoryHigh, memoryLow }: MarkSettings): Marks {
  const [high, low] = [shareOf(memoryHigh), shareOf(memoryLow)];
  if (low >= high) {
    throw new Fault('INVALID_REQUEST', `--memory-low must be under --memory-high, ${memoryHigh}; received ${memoryLow}`);
  }
  return { low, high, critical: Math.max(CRITICAL, (1 + high) / 2) };
}

const shareOf = (percent: string) => Number.parseFloat(percent) / 100;
