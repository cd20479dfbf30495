/** For backends that make vectors and nothing else. */
import type { Load, Run, Sink } from './backend.ts';
import { failure } from './job-run.ts';

/** Of about 100 tokens, to time the reading of texts with. */
export const MEASURED_TEXT = 'The quick brown fox jumps over the lazy dog and runs through the quiet forest. '.repeat(6);
/** They have no queue of jobs and no KV cache. */
export const NO_LOAD: Load = { running: 0, queued: 0, queuedPromptTokens: 0, kvCacheUse: 0 };

const NO_ANSWERS = failure('UNSUPPORTED', 'the model makes vectors of texts and answers nothing');
const NO_TIMINGS = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
const NOTHING_TO_STEER: Run = { cancel() {}, pause() {}, resume() {} };

/** Ends a job that should not have come, after the caller has its handle. */
export function answersNothing(sink: Sink): Run {
  setImmediate(() => sink.end(NO_ANSWERS, 0, NO_TIMINGS));
  return NOTHING_TO_STEER;
}
