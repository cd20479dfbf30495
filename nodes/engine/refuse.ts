/** The answer of an engine that is not ready. */
import type { Job, Outcome, Run, Sink } from '../backends/backend.ts';
import type { Failure } from '../backends/job-run.ts';
import { failure } from '../backends/job-run.ts';
import type { EngineState } from './engine.ts';

const NO_TIMINGS = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
const NOTHING_TO_STEER: Run = { cancel() {}, pause() {}, resume() {} };

/** Ends the sink with what the engine's state means for a job. */
export function refuse(job: Job, sink: Sink, { type }: EngineState): Run {
  return refuseWith(sink, notReady(type), job.delivered?.tokens);
}

/** What the state of an engine that is not ready means for whoever wants something of it. */
export function notReady(type: EngineState['type']): Failure {
  return type === 'disposed'
    ? failure('DRAINING', 'the engine is shutting down')
    : failure('ENGINE_CRASHED', `the engine is not ready: it is ${type}`);
}

export const NO_VECTORS = failure('UNSUPPORTED', 'the engine makes no vectors of texts with this model');

/** Ends the sink with `outcome`, after the caller has its handle. */
export function refuseWith(sink: Sink, outcome: Outcome, delivered = 0): Run {
  setImmediate(() => sink.end(outcome, delivered, NO_TIMINGS));
  return NOTHING_TO_STEER;
}
