/** What nodes and routers agree on beside the messages themselves, where vectors of texts are concerned. Pure. */

/** The task of a model that makes vectors of texts; it stands alone. */
export const EMBED_TASK = 'embed';
/** Of one embed. */
export const MOST_EMBED_TEXTS = 64;

/** Whether a model with these tasks answers nothing, because it makes vectors only. */
export function embedsOnly(tasks: readonly string[]): boolean {
  return tasks.length === 1 && tasks[0] === EMBED_TASK;
}
