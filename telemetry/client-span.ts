/**
 * The caller's side of a call as a span, by whatever SDK the caller's process runs; without one, nothing is recorded
 * and the caller's own trace context, where there is one, goes along all the same.
 */
import { context, SpanKind, trace } from '@opentelemetry/api';
import type { Reason } from '../proto/contract/faults.ts';
import type { End } from './attributes.ts';
import { callAttributes, codeName, endAttributes, markFailed, samplingAttributes } from './attributes.ts';
import { spanClock } from './clock.ts';
import type { SamplingFacts } from './events.ts';
import { ATTR, SCOPE, SPAN_EVENT } from './names.ts';
import { formatTraceparent, remoteContext } from './traceparent.ts';

/** Host or address of a router, and its port. */
export interface Server {
  readonly address: string;
  readonly port: number;
}

export interface ClientCallFacts {
  readonly server?: Server;
  readonly sampling?: SamplingFacts;
  /** W3C context to be the parent; absent: the active span of the caller's process. */
  readonly traceparent?: string;
}

export interface ClientCallEnd extends End {
  /** gRPC status code. */
  readonly code: number;
  /** Who answered, as the router said. */
  readonly node?: string;
  readonly model?: string;
  readonly requestId?: string;
  readonly migrations?: number;
}

/** The call goes on at another router, or anew at the same one. */
export interface ClientFailover {
  readonly server: Server;
  /** Why. */
  readonly reason: Reason;
  /** Of the answer that had come. */
  readonly tokens: number;
}

export interface ClientCall {
  /** To be sent as metadata traceparent; empty when there is no trace to join. */
  readonly traceparent: string;
  /** The first piece of the answer is here; calls after the first do nothing. */
  firstToken(): void;
  failover(to: ClientFailover): void;
  /** Calls after the first do nothing. */
  end(end: ClientCallEnd): void;
}

/** @param method infermesh.v1.InferenceService/Chat */
export function startClientCall(method: string, facts: ClientCallFacts = {}): ClientCall {
  const now = spanClock();
  const startTime = now();
  const attributes = {
    ...callAttributes(method),
    ...samplingAttributes(facts.sampling ?? {}),
    ...(facts.server && serverAttributes(facts.server)),
  };
  const parent = facts.traceparent === undefined ? context.active() : remoteContext(facts.traceparent);
  const span = trace.getTracer(SCOPE).startSpan(method, { kind: SpanKind.CLIENT, startTime, attributes }, parent);
  let answered = false;
  let ended = false;
  return {
    traceparent: formatTraceparent(span.spanContext()),
    firstToken() {
      if (answered || ended) return;
      answered = true;
      const at = now();
      span.addEvent(SPAN_EVENT.firstToken, at);
      span.setAttribute(ATTR.timeToFirstChunk, (at - startTime) / 1000);
    },
    failover({ server, reason, tokens }) {
      if (ended) return;
      const attributes = { ...serverAttributes(server), [ATTR.errorType]: reason, [ATTR.tokens]: tokens };
      span.addEvent(SPAN_EVENT.failover, attributes, now());
    },
    end(end) {
      if (ended) return;
      ended = true;
      span.setAttributes({ ...endAttributes(end), ...answerAttributes(end), [ATTR.rpcStatus]: codeName(end.code) });
      // A caller that cancels knows what it does; every other status but OK is an error to the caller.
      if (end.outcome === 'failed') markFailed(span, end.reason);
      span.end(now());
    },
  };
}

function serverAttributes({ address, port }: Server) {
  return { [ATTR.serverAddress]: address, [ATTR.serverPort]: port };
}

function answerAttributes({ node, model, requestId, migrations }: ClientCallEnd) {
  return {
    ...(node !== undefined && { [ATTR.node]: node }),
    ...(model !== undefined && { [ATTR.responseModel]: model }),
    ...(requestId !== undefined && { [ATTR.responseId]: requestId }),
    ...(migrations !== undefined && { [ATTR.migrations]: migrations }),
  };
}
