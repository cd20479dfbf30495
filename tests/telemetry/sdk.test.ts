import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { tracingAsked } from '../../telemetry/sdk.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { play } from './play.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CLIENTS = `00-${TRACE}-00f067aa0ba902b7-01`;

/** Makes a process write the address of every module it loads to stderr. */
const LISTING_MODULES = `--import=data:text/javascript,${encodeURIComponent(
  "import { registerHooks } from 'node:module'; registerHooks({ load: (url, context, next) => (process.stderr.write(url + '\\n'), next(url, context)) });",
)}`;

/** Takes connections and never says a word. */
async function startSilentServer() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), 'close');
    },
  };
}

describe('which variables switch tracing on', () => {
  const cases: [asked: boolean, env: Record<string, string>][] = [
    [false, {}],
    [false, { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    [false, { OTEL_SERVICE_NAME: 'mine' }],
    [true, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317' }],
    [true, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4317' }],
    [true, { OTEL_TRACES_EXPORTER: 'console' }],
    [true, { OTEL_CONFIG_FILE: 'otel.yaml' }],
    [false, { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317' }],
    [false, { OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317' }],
  ];
  it.each(cases)('%s: %j', (asked, env) => {
    expect(tracingAsked(env)).toBe(asked);
  });
});

describe('a process without a collector to export to', () => {
  it('loads no SDK, and starts and stops at once', async () => {
    await using off = play('idle', '', { NODE_OPTIONS: LISTING_MODULES });
    expect(await off.line()).toMatchObject({ enabled: false });
    expect(await off.exited).toBe(0);
    expect(off.stderr()).toContain('/telemetry/sdk.ts');
    expect(off.stderr()).not.toContain('@opentelemetry/sdk-');
    await using on = play('idle', '', { NODE_OPTIONS: LISTING_MODULES, OTEL_TRACES_EXPORTER: 'console' });
    await on.exited;
    expect(on.stderr()).toContain('@opentelemetry/sdk-node');
  });

  it('passes the context of a client that traces on to the node unchanged', async () => {
    await using router = play('router', CLIENTS, {});
    expect(await router.line()).toEqual({ traceparent: CLIENTS, traceId: TRACE });
    router.answer();
    expect(await router.exited).toBe(0);
  });

  it('makes up no context of its own', async () => {
    await using router = play('router', '', {});
    expect(await router.line()).toEqual({ traceparent: '', traceId: '' });
  });
});

describe('a process with a collector', () => {
  it('joins the trace of a client, and keeps a stranger’s words out of its spans', async () => {
    await using receiver = await startOtlpReceiver();
    await using joined = play('cancelled', CLIENTS, receiver.env);
    await joined.exited;
    const canary = 'canary-7f3a';
    await using own = play('cancelled', canary, receiver.env);
    await own.exited;
    const spans = await receiver.waitFor((came) => came.filter(({ kind }) => kind === 'SERVER').length === 2);
    const [first, second] = spans.filter(({ kind }) => kind === 'SERVER');
    expect([first?.traceId, first?.parentSpanId]).toEqual([TRACE, '00f067aa0ba902b7']);
    expect(second?.parentSpanId).toBe('');
    expect(second?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(receiver.text()).not.toContain(canary);
  });

  it('goes by the names that the operator gave in the environment', async () => {
    await using receiver = await startOtlpReceiver();
    const names = {
      OTEL_SERVICE_NAME: 'edge',
      OTEL_RESOURCE_ATTRIBUTES: 'service.instance.id=edge-7,deployment.environment.name=qa',
    };
    await using scene = play('cancelled', '', { ...receiver.env, ...names });
    await scene.exited;
    const [span] = await receiver.waitFor((came) => came.length > 0);
    expect(span?.resource).toMatchObject({
      'service.name': 'edge',
      'service.instance.id': 'edge-7',
      'deployment.environment.name': 'qa',
    });
  });

  it('leaves stdout alone, whatever the SDK has to say', async () => {
    await using scene = play('idle', '', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_LOG_LEVEL: 'debug' });
    expect(await scene.line()).toMatchObject({ enabled: true });
    expect(await scene.exited).toBe(0);
  });
});

describe('shutting down', () => {
  it('takes 2 s and not more when the collector accepts the connection and never answers', async () => {
    await using collector = await startSilentServer();
    await using scene = play('cancelled', '', { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    const { enabled, shutdownMs } = await scene.line();
    expect(enabled).toBe(true);
    expect(collector.sockets.size).toBeGreaterThan(0);
    expect(shutdownMs).toBeGreaterThan(1900);
    // By itself an exporter would go on for 10 s.
    expect(shutdownMs).toBeLessThan(8000);
    expect(await scene.exited).toBe(0);
  });

  it('takes 2 s and not more when nobody listens, and rejects nothing', async () => {
    await using scene = play('cancelled', '', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
    expect((await scene.line()).shutdownMs).toBeLessThan(8000);
    expect(await scene.exited).toBe(0);
    expect(scene.stderr()).not.toContain('Unhandled');
  });
});
