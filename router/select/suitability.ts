/** How well a model fits a task when the caller left the choice open. Pure. */
import type { Task } from '../classify/classification.ts';

export type Suitability = 'specialist' | 'generalist' | 'unsuited';

/**
 * @param tasks what the model lists; nothing, or chat among it, is a model that can be asked anything
 */
export function suitability(tasks: readonly string[], task: Task): Suitability {
  if (tasks.length === 0 || tasks.includes('chat')) return 'generalist';
  if (!tasks.includes(task)) return 'unsuited';
  return tasks.length === 1 ? 'specialist' : 'generalist';
}
