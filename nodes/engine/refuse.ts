/** The answer of an engine that is not ready. */
import type { Outcome, Run, Sink } from '../backends/backend.ts';
import { failure } from '../backends/job-run.ts';
import type { EngineState } from './engine.ts';

const NO_TIMINGS = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
const NOTHING_TO_STEER: Run = { cancel() {}, pause() {}, resume() {} };

/** Ends the sink with what the engine's state means for a job. */
export function refuse(sink: Sink, { type }: EngineState): Run {
  const outcome =
    type === 'disposed'
      ? failure('DRAINING', 'the engine is shutting down')
      : failure('ENGINE_CRASHED', `the engine is not ready: it is ${type}`);
  return refuseWith(sink, outcome);
}

/** Ends the sink with `outcome`, after the caller has its handle. */
export function refuseWith(sink: Sink, outcome: Outcome): Run {
  setImmediate(() => sink.end(outcome, 0, NO_TIMINGS));
  return NOTHING_TO_STEER;
}
