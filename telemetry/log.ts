/** Log lines on stderr, JSON by default, made of what the core tells. One event, one line; stdout is never touched. */
import type { DestinationStream, Level, Logger } from 'pino';
import { pino, stdTimeFunctions } from 'pino';
import type { FleetEvent, NodeEvent, RequestEvent, RequestFacts, RequestObserver, RequestWatch, Tell } from './events.ts';
import { prettyLine } from './pretty.ts';
import { parseTraceparent } from './traceparent.ts';

export type Log = Logger;
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A reader of stderr that has stopped costs at most this many bytes; lines beyond are dropped. */
const MAX_PENDING_BYTES = 1 << 20;

export interface LogOptions {
  /** What the process is: router, node. */
  readonly name: string;
  /** Default: INFERMESH_LOG_LEVEL, else info. */
  readonly level?: string;
  /** Lines for people instead of JSON. */
  readonly pretty?: boolean;
  /** Default: stderr. */
  readonly to?: DestinationStream;
}

/** @throws RangeError when the level is none of LOG_LEVELS */
export function createLog({ name, level, pretty = false, to }: LogOptions): Log {
  const asked = level ?? (process.env.INFERMESH_LOG_LEVEL || 'info');
  if (!isLogLevel(asked))
    throw new RangeError(`log level must be one of ${LOG_LEVELS.join(', ')}, received ${JSON.stringify(asked)}`);
  const out = to ?? standardError();
  const options = {
    level: asked,
    base: { name },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, pretty ? { write: (line: string) => out.write(prettyLine(line)) } : out);
}

/** Takes lines without ever holding the process up, or ending it: where they can't be written, they are lost. */
function standardError(): DestinationStream {
  // Without sync, a stalled reader does not stall the process; pino flushes at its exit.
  const out = pino.destination({ dest: 2, sync: false, maxLength: MAX_PENDING_BYTES });
  const flushSync = out.flushSync.bind(out);
  let failing = false;
  out.on('error', () => {
    failing = true;
  });
  out.on('write', () => {
    failing = false;
  });
  // On a full disk it would try for ever.
  out.flushSync = () => {
    if (!failing) flushSync();
  };
  return out;
}

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** docs/telemetry.md lists both. A node that left with requests, or without a word, is a warning. */
export const FLEET_LEVELS: Readonly<Record<FleetEvent['type'], Level>> = {
  node_joined: 'info',
  models_changed: 'info',
  node_suspect: 'warn',
  node_recovered: 'info',
  node_draining: 'info',
  node_left: 'info',
  node_fenced: 'warn',
  breaker_opened: 'warn',
  breaker_half_open: 'info',
  breaker_closed: 'info',
  node_wedged: 'error',
  node_unwedged: 'info',
  node_damped: 'warn',
  model_wanted: 'info',
  model_came: 'info',
  model_not_loaded: 'warn',
  claim_clamped: 'warn',
  router_seen: 'info',
  router_gone: 'info',
  join_refused: 'warn',
};

export const NODE_LEVELS: Readonly<Record<NodeEvent['type'], Level>> = {
  router_connected: 'info',
  router_lost: 'warn',
  router_refused: 'error',
  model_loading: 'info',
  engine_ready: 'info',
  model_load_failed: 'error',
  model_unloading: 'info',
  model_unloaded: 'info',
  engine_crashed: 'error',
  engine_warned: 'warn',
  pressure_step: 'warn',
  pressure_step_back: 'info',
  draining: 'info',
  stopped: 'info',
};

export function logFleet(log: Log): Tell<FleetEvent> {
  return (event) => logEvent(log, leftBadly(event) ? 'warn' : FLEET_LEVELS[event.type], event);
}

export function logNode(log: Log): Tell<NodeEvent> {
  return (event) => logEvent(log, NODE_LEVELS[event.type], event);
}

function leftBadly(event: FleetEvent): boolean {
  return event.type === 'node_left' && (event.lost > 0 || event.reason === 'expired' || event.reason === 'protocol_error');
}

/** The event's own fields are the line's. */
function logEvent(log: Log, level: Level, { type, ...fields }: FleetEvent | NodeEvent): void {
  log[level]({ event: type, ...fields }, type.replaceAll('_', ' '));
}

/** One line for each request, at its end. */
export function logRequests(log: Log): RequestObserver {
  return { watch: (request) => new RequestLine(log, request) };
}

class RequestLine implements RequestWatch {
  readonly wantsContent = false;
  readonly #log: Log;
  readonly #request: RequestFacts;
  readonly #arrivedAt = performance.now();
  #firstTokenMs: number | undefined;
  #node: string | undefined;
  #model: string | undefined;
  #attempts = 0;
  #cached: string | undefined;

  constructor(log: Log, request: RequestFacts) {
    this.#log = log;
    this.#request = request;
  }

  traceparent(): string {
    return parseTraceparent(this.#request.traceparent) === undefined ? '' : (this.#request.traceparent ?? '');
  }

  traceId(): string {
    return parseTraceparent(this.#request.traceparent)?.traceId ?? '';
  }

  tell(event: RequestEvent): void {
    if (event.type === 'attempt_started') {
      this.#node = event.node;
      this.#model = event.model;
      this.#attempts++;
    } else if (event.type === 'reused') {
      this.#node = event.node;
      this.#model = event.model;
      this.#cached = event.source;
      this.#firstTokenMs ??= this.#elapsedMs();
    } else if (event.type === 'first_token') this.#firstTokenMs ??= this.#elapsedMs();
    else if (event.type === 'ended') this.#end(event);
  }

  #end(event: Extract<RequestEvent, { type: 'ended' }>): void {
    const fields = {
      event: 'request',
      request: this.#request.requestId,
      method: this.#request.method,
      tenant: this.#request.tenant,
      outcome: event.outcome,
      reason: event.reason,
      node: this.#node,
      model: this.#model,
      attempts: this.#attempts,
      migrations: event.migrations,
      cached: this.#cached,
      tokens: event.tokens,
      inputTokens: event.usage?.inputTokens,
      costUsd: event.costUsd,
      firstTokenMs: this.#firstTokenMs,
      ms: this.#elapsedMs(),
      trace: this.traceId() || undefined,
    };
    this.#log[event.outcome === 'failed' ? 'warn' : 'info'](fields, `request ${event.outcome}`);
  }

  #elapsedMs(): number {
    return Math.round((performance.now() - this.#arrivedAt) * 10) / 10;
  }
}
