/** How well a model fits a task when the caller left the choice open. Pure. */
import type { Task } from '../classify/task.ts';

export type Suitability = 'specialist' | 'generalist' | 'unsuited';

const RANK: Readonly<Record<Suitability, number>> = { specialist: 0, generalist: 1, unsuited: 2 };

export function suitability(tasks: readonly string[], task: Task): Suitability {
  if (tasks.length === 0) return 'generalist';
  if (!tasks.includes(task)) return 'unsuited';
  // A model that only does this does it for the least; one that lists chat among others is a generalist.
  return tasks.length === 1 ? 'specialist' : 'generalist';
}

/** The best of several; undefined for none. */
export function best(all: readonly Suitability[]): Suitability | undefined {
  return all.toSorted((a, b) => RANK[a] - RANK[b])[0];
}
