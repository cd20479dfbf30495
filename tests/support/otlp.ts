/**
 * A real OTLP receiver over gRPC, for reading back what processes exported. Requests reach it through channels that are
 * global to the process, so a test process has one open at a time.
 */
import { createRequire } from 'node:module';

export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly kind: SpanKind;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly atMs: number }[];
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly status: { readonly code: 'UNSET' | 'OK' | 'ERROR'; readonly message: string };
  /** service.name, and below it all of the resource's attributes. */
  readonly service: string;
  readonly resource: Readonly<Record<string, unknown>>;
}

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'] as const;
type SpanKind = (typeof KINDS)[number];
const STATUS_CODES = ['UNSET', 'OK', 'ERROR'] as const;

export interface OtlpReceiver extends AsyncDisposable {
  /** http://127.0.0.1:PORT */
  readonly endpoint: string;
  /** For a process that is to export here, soon after each span. */
  readonly env: Readonly<Record<string, string>>;
  readonly spans: readonly ReceivedSpan[];
  /** Everything that came, names and values, for searching. */
  text(): string;
  /** @throws Error with the names of what came instead, after `timeoutMs` */
  waitFor(enough: (spans: readonly ReceivedSpan[]) => boolean, timeoutMs?: number): Promise<readonly ReceivedSpan[]>;
}

interface Long {
  toString(): string;
}
interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: Long;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values?: readonly AnyValue[] };
}
interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}
interface RawSpan {
  readonly name: string;
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId?: Buffer;
  readonly kind?: number;
  readonly attributes?: readonly KeyValue[];
  readonly events?: readonly { readonly name: string; readonly timeUnixNano: Long }[];
  readonly startTimeUnixNano: Long;
  readonly endTimeUnixNano: Long;
  readonly status?: { readonly code?: number; readonly message?: string };
}
interface ExportRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly KeyValue[] };
    readonly scopeSpans?: readonly { readonly spans?: readonly RawSpan[] }[];
  }[];
}
interface MockOtlpServer {
  start(): Promise<void>;
  close(): Promise<void>;
  readonly grpcUrl: URL;
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  // The package has no types for its entry point.
  const { MockOtlpServer } = createRequire(import.meta.url)('@elastic/mockotlpserver') as {
    MockOtlpServer: new (options: object) => MockOtlpServer;
  };
  const spans: ReceivedSpan[] = [];
  const waiters = new Set<() => void>();
  const texts: string[] = [];
  let open = true;
  const onTrace = (request: ExportRequest) => {
    if (!open) return;
    texts.push(JSON.stringify(request));
    spans.push(...spansOf(request));
    for (const check of waiters) check();
  };
  const server = new MockOtlpServer({ services: ['grpc'], grpcHostname: '127.0.0.1', grpcPort: 0, logLevel: 'warn', onTrace });
  await server.start();
  const endpoint = server.grpcUrl.origin;
  return {
    endpoint,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' },
    spans,
    text: () => texts.join('\n'),
    waitFor(enough, timeoutMs = 10_000) {
      const { promise, resolve, reject } = Promise.withResolvers<readonly ReceivedSpan[]>();
      const check = () => {
        if (enough(spans)) settle(() => resolve(spans));
      };
      const settle = (how: () => void) => {
        clearTimeout(timer);
        waiters.delete(check);
        how();
      };
      const came = () => spans.map(({ service, name }) => `${service}: ${name}`).join(', ') || 'nothing';
      const timer = setTimeout(() => settle(() => reject(new Error(`after ${timeoutMs} ms: ${came()}`))), timeoutMs);
      waiters.add(check);
      check();
      return promise;
    },
    async [Symbol.asyncDispose]() {
      open = false;
      await server.close();
    },
  };
}

function spansOf(request: ExportRequest): ReceivedSpan[] {
  return (request.resourceSpans ?? []).flatMap(({ resource, scopeSpans }) => {
    const resourceAttributes = attributesOf(resource?.attributes);
    return (scopeSpans ?? []).flatMap(({ spans }) => (spans ?? []).map((span) => spanOf(span, resourceAttributes)));
  });
}

function spanOf(span: RawSpan, resource: Readonly<Record<string, unknown>>): ReceivedSpan {
  return {
    name: span.name,
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId?.toString('hex') ?? '',
    kind: KINDS[span.kind ?? 0] ?? 'UNSPECIFIED',
    attributes: attributesOf(span.attributes),
    events: (span.events ?? []).map(({ name, timeUnixNano }) => ({ name, atMs: millis(timeUnixNano) })),
    startMs: millis(span.startTimeUnixNano),
    endMs: millis(span.endTimeUnixNano),
    status: { code: STATUS_CODES[span.status?.code ?? 0] ?? 'UNSET', message: span.status?.message ?? '' },
    service: String(resource['service.name'] ?? ''),
    resource,
  };
}

function attributesOf(pairs: readonly KeyValue[] = []): Record<string, unknown> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, plainValue(value)]));
}

function plainValue(value: AnyValue): unknown {
  if (value.intValue !== undefined) return Number(value.intValue.toString());
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(plainValue);
  return value.stringValue ?? value.boolValue ?? value.doubleValue;
}

function millis(unixNano: Long): number {
  return Number(BigInt(unixNano.toString())) / 1e6;
}
