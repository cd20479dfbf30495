/** What nodes and routers agree on where a model tells the class of a text. Pure. */

/** The task of a model that answers with a class; it stands alone. */
export const CLASSIFY_TASK = 'classify';

/** Whether a model with these tasks answers with a class whatever it is told, so that nobody gets it who did not name it. */
export function classifiesOnly(tasks: readonly string[]): boolean {
  return tasks.length === 1 && tasks[0] === CLASSIFY_TASK;
}
