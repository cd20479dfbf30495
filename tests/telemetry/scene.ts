/**
 * One act of a request's story, in a process of its own, for the tests beside it: ROLE [TRACEPARENT]. Client and router
 * print the context that they would send along, and wait for a line on stdin as for the answer; `idle` only starts
 * and stops. The last line says how long that took.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startClientCall } from '../../telemetry/client-span.ts';
import type { RequestEvent, RequestWatch } from '../../telemetry/events.ts';
import { startTelemetry } from '../../telemetry/sdk.ts';
import { requestSpans, workSpans } from '../../telemetry/spans.ts';

const METHOD = 'infermesh.v1.InferenceService/Chat';
const [role = '', traceparent = ''] = process.argv.slice(2);

const opening: readonly RequestEvent[] = [
  { type: 'accepted', target: 'auto', sampling: { maxTokens: 64, temperature: 0.5 } },
  { type: 'classified', task: 'story', complexity: 'simple', domain: 'story', language: 'en', followUp: false },
  { type: 'waiting' },
];
const attempts: readonly RequestEvent[] = [
  {
    type: 'decided',
    node: 'node-a',
    model: 'stories-15m',
    reason: 'the least expected wait',
    considered: 3,
    excluded: [{ node: 'node-c', model: 'tinyllama-1.1b-chat', reason: 'writes no stories' }],
    expectedFirstTokenMs: 12.5,
  },
  { type: 'attempt_started', epoch: 1, node: 'node-a', model: 'stories-15m' },
  { type: 'attempt_ended', epoch: 1, outcome: 'failed', reason: 'NODE_LOST', tokens: 0 },
  { type: 'attempt_started', epoch: 2, node: 'node-b', model: 'stories-15m' },
];
const usage = { inputTokens: 12, outputTokens: 7, cachedInputTokens: 4 };
const timings = { queueMs: 5, prefillMs: 20, decodeMs: 30 };
const ending: readonly RequestEvent[] = [
  { type: 'first_token', epoch: 2 },
  { type: 'attempt_ended', epoch: 2, outcome: 'finished', finishReason: 1, tokens: 7, usage, timings },
  { type: 'ended', outcome: 'finished', code: 0, finishReason: 1, tokens: 7, usage, costUsd: 0.00002, migrations: 0 },
];

const telemetry = await startTelemetry({ serviceName: `scene-${role}`, serviceInstanceId: `${role}-1` });
const acts: Record<string, () => Promise<void>> = { client, router, cancelled, node, queued, idle: async () => {} };
await acts[role]?.();
const startedAt = performance.now();
await telemetry.shutdown();
tell({ enabled: telemetry.enabled, shutdownMs: performance.now() - startedAt });
process.exit(0);

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function client(): Promise<void> {
  const call = startClientCall(METHOD, { server: { address: '127.0.0.1', port: 7000 }, sampling: { maxTokens: 64 } });
  tell({ traceparent: call.traceparent });
  await once(process.stdin, 'data');
  call.firstToken();
  call.end({
    outcome: 'finished',
    code: 0,
    finishReason: 1,
    usage,
    node: 'node-b',
    model: 'stories-15m',
    requestId: 'r-1',
    migrations: 0,
  });
}

async function router(): Promise<void> {
  const watch = requestSpans().watch({ requestId: 'r-1', method: METHOD, traceparent, tenant: 'acme' });
  for (const event of opening) watch.tell(event);
  await sleep(20);
  for (const event of attempts) watch.tell(event);
  await answerFrom(watch);
  for (const event of ending) watch.tell(event);
}

async function cancelled(): Promise<void> {
  const watch = requestSpans().watch({ requestId: 'r-2', method: METHOD, traceparent });
  for (const event of attempts) watch.tell(event);
  watch.tell({ type: 'ended', outcome: 'cancelled', code: 1, reason: 'CANCELLED', tokens: 0, migrations: 0 });
  watch.tell({ type: 'attempt_ended', epoch: 2, outcome: 'cancelled', reason: 'CANCELLED', tokens: 3 });
}

async function answerFrom(watch: RequestWatch): Promise<void> {
  tell({ traceparent: watch.traceparent(), traceId: watch.traceId() });
  await once(process.stdin, 'data');
}

async function node(): Promise<void> {
  const watch = workSpans().watch({ node: 'node-b', model: 'stories-15m', request: 5, epoch: 2, traceparent });
  watch.tell({ type: 'prefilling' });
  await sleep(60);
  watch.tell({ type: 'first_token' });
  watch.tell({ type: 'ended', outcome: 'finished', finishReason: 1, tokens: 7, usage, timings });
}

async function queued(): Promise<void> {
  const watch = workSpans().watch({ node: 'node-b', model: 'stories-15m', request: 6, epoch: 1, traceparent });
  const none = { queueMs: 1e6, prefillMs: 0, decodeMs: 0 };
  watch.tell({ type: 'ended', outcome: 'failed', reason: 'ENGINE_CRASHED', tokens: 0, timings: none });
}
