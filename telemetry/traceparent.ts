/**
 * W3C trace context, level 1, header traceparent: VERSION-TRACE_ID-PARENT_ID-FLAGS in lower-case hex. It is read here
 * and not by the SDK's propagator so that the same rules hold without an SDK, and because strangers send it:
 * their tracestate and baggage are never looked at.
 */
import type { Context, SpanContext } from '@opentelemetry/api';
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';

const SHAPE = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZEROES = /^0+$/;

/** @returns undefined for anything that the specification says to ignore. */
export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const [, version, traceId, spanId, flags, rest] = SHAPE.exec(text ?? '') ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  // Later versions may add fields; version 00 has none, and ff is forbidden.
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (ZEROES.test(traceId) || ZEROES.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}

/** @returns empty for the context of a span that nobody records. */
export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  if (ZEROES.test(traceId) || ZEROES.test(spanId)) return '';
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** The context of whoever sent a traceparent; without a valid one a span in it begins a trace. */
export function remoteContext(traceparent: string | undefined): Context {
  const remote = parseTraceparent(traceparent);
  return remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
}
