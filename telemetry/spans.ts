/**
 * Makes spans of what requests and attempts tell. Written against the API alone: without an SDK every span is a no-op
 * that hands on its parent's context, so a client's trace passes through a router that does not trace.
 *
 *   infermesh.v1.InferenceService/Chat   client
 *     infermesh.v1.InferenceService/Chat   router
 *       infermesh.queue, infermesh.choose
 *       infermesh.attempt                  one for each
 *         infermesh.work                   node
 *           engine.queue, engine.prefill, engine.decode
 *
 * A span is exported when it ends, and one that is open when its process dies is lost; so the stages of a request are
 * spans of their own that end with the stage.
 */
import { trace } from '@opentelemetry/api';
import type { RequestObserver, WorkObserver } from './events.ts';
import { SCOPE } from './names.ts';
import { RequestSpans } from './request-spans.ts';
import { WorkSpans } from './work-spans.ts';

export function requestSpans(): RequestObserver {
  const tracer = trace.getTracer(SCOPE);
  return { watch: (request) => new RequestSpans(tracer, request) };
}

export function workSpans(): WorkObserver {
  const tracer = trace.getTracer(SCOPE);
  return { watch: (work) => new WorkSpans(tracer, work) };
}
