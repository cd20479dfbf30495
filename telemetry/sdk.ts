/**
 * The one place that starts an OpenTelemetry SDK: traces, over OTLP/gRPC where nothing else is asked for, configured by
 * the standard OTEL_* variables. Its packages are loaded only when tracing is on, as they cost a process about 0.4 s and 40 MB.
 */
import type { DiagLogger } from '@opentelemetry/api';
import { DiagLogLevel, diag } from '@opentelemetry/api';

export interface TelemetryOptions {
  /** What the process is, such as infermesh-router; OTEL_SERVICE_NAME goes before it. */
  readonly serviceName: string;
  /** Which one of them: the router's or the node's id; service.instance.id in OTEL_RESOURCE_ATTRIBUTES goes before it. */
  readonly serviceInstanceId?: string;
  /** Where the SDK's own troubles go, such as a collector that is not there; absent: to stderr. */
  readonly warn?: (message: string) => void;
}

export interface Telemetry {
  /** Whether an SDK runs. */
  readonly enabled: boolean;
  /**
   * Sends what has ended and stops, within the time given, whatever the collector does. Never rejects. An export that
   * was given up may hold its connection for some seconds more, so a process that must be gone should exit.
   */
  shutdown(timeoutMs?: number): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const OFF: Telemetry = { enabled: false, shutdown: async () => {} };

/** Whether the standard variables ask for traces. */
export function tracingAsked(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return false;
  const exporters = env.OTEL_TRACES_EXPORTER?.trim();
  if (exporters) return !exporters.split(',').some((name) => name.trim() === 'none');
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?.trim() || env.OTEL_EXPORTER_OTLP_ENDPOINT?.trim();
  return Boolean(endpoint || env.OTEL_CONFIG_FILE?.trim());
}

/** To be called before the first span, once in a process. */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  if (!tracingAsked(process.env)) return OFF;
  preferGrpcAndFewDetectors();
  const { startNodeSdk } = await import('@opentelemetry/sdk-node');
  const sdk = startNodeSdk({
    // Until its logger is replaced it writes to the console, and all but these to stdout, which belongs to the commands.
    logLevel: 'warn',
    resourceAttributes: ownAttributes(options, process.env),
    metricReaders: [],
    logRecordProcessors: [],
  });
  diag.setLogger(troubles(options.warn ?? ((message) => process.stderr.write(`opentelemetry: ${message}\n`))), {
    logLevel: troubleLevel(process.env.OTEL_LOG_LEVEL),
    suppressOverrideMessage: true,
  });
  return { enabled: true, shutdown: (timeoutMs = 2000) => within(timeoutMs, sdk.shutdown()) };
}

/** The SDK reads these from the environment only. */
function preferGrpcAndFewDetectors(): void {
  process.env.OTEL_EXPORTER_OTLP_PROTOCOL ||= 'grpc';
  // Of the detectors `process` is left out: it exports the command line, and with it tokens.
  process.env.OTEL_NODE_RESOURCE_DETECTORS ||= 'service,host';
}

/** Attributes given here go before all others, so what the operator named is left out. */
function ownAttributes({ serviceName, serviceInstanceId }: TelemetryOptions, env: Environment): Record<string, string> {
  const named = new Set((env.OTEL_RESOURCE_ATTRIBUTES ?? '').split(',').map((pair) => pair.split('=')[0]?.trim()));
  if (env.OTEL_SERVICE_NAME?.trim()) named.add('service.name');
  const own = Object.entries({ 'service.name': serviceName, 'service.instance.id': serviceInstanceId ?? '' });
  return Object.fromEntries(own.filter(([name, value]) => value !== '' && !named.has(name)));
}

/** Passes each trouble on once a minute: an absent collector would fill the log otherwise. */
function troubles(warn: (message: string) => void): DiagLogger {
  const toldAt = new Map<string, number>();
  const tell = (message: string) => {
    const text = gist(message);
    const now = performance.now();
    if (now - (toldAt.get(text) ?? -Infinity) < 60_000) return;
    if (toldAt.size >= 100) toldAt.clear();
    toldAt.set(text, now);
    warn(text);
  };
  return { error: tell, warn: tell, info: tell, debug: tell, verbose: tell };
}

/** The SDK tells of an error as JSON with its stack and all. */
function gist(message: string): string {
  try {
    return String(JSON.parse(message).message);
  } catch {
    return message;
  }
}

function troubleLevel(asked: string | undefined): DiagLogLevel {
  const level = Object.entries(DiagLogLevel).find(([name]) => name === asked?.trim().toUpperCase())?.[1];
  return typeof level === 'number' ? level : DiagLogLevel.WARN;
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([work.catch((error: unknown) => diag.warn(`spans were lost: ${String(error)}`)), timeout]);
  clearTimeout(timer);
}
