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

/** The variable of the GenAI conventions by which an operator asks for prompts and answers in spans. */
const CAPTURE_CONTENT = 'OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT';

export function requestSpans(env: Readonly<Record<string, string | undefined>> = process.env): RequestObserver {
  const tracer = trace.getTracer(SCOPE);
  const captureContent = env[CAPTURE_CONTENT]?.trim().toLowerCase() === 'true';
  return { watch: (request) => new RequestSpans(tracer, request, captureContent) };
}

export function workSpans(): WorkObserver {
  const tracer = trace.getTracer(SCOPE);
  return { watch: (work) => new WorkSpans(tracer, work) };
}
