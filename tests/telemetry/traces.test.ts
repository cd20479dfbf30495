import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTR, SPAN, SPAN_EVENT } from '../../telemetry/names.ts';
import type { OtlpReceiver, ReceivedSpan } from '../support/otlp.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { play } from './play.ts';

const METHOD = 'infermesh.v1.InferenceService/Chat';

describe('a request through client, router and node, each a process, at a collector over gRPC', () => {
  let receiver: OtlpReceiver;
  let spans: readonly ReceivedSpan[];
  let shownTraceId: unknown;

  beforeAll(async () => {
    receiver = await startOtlpReceiver();
    await using client = play('client', '', receiver.env);
    await using router = play('router', String((await client.line()).traceparent), receiver.env);
    const sent = await router.line();
    shownTraceId = sent.traceId;
    await using node = play('node', String(sent.traceparent), receiver.env);
    await node.exited;
    router.answer();
    await router.exited;
    client.answer();
    await client.exited;
    spans = await receiver.waitFor((came) => came.some(({ service }) => service === 'scene-client'));
  });
  afterAll(() => receiver[Symbol.asyncDispose]());

  const all = (name: string, service?: string) =>
    spans.filter((span) => span.name === name && (!service || span.service === service));
  const one = (name: string, service?: string) => {
    const [span, another] = all(name, service);
    if (!span || another) throw new Error(`not one span ${name} of ${service ?? 'any service'}`);
    return span;
  };
  const answering = () => all(SPAN.attempt).find(({ attributes }) => attributes[ATTR.epoch] === 2) as ReceivedSpan;

  it('is one trace, whose id the client is told', () => {
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([shownTraceId]));
    expect(spans).toHaveLength(10);
  });

  it('hangs every span below the one that caused it', () => {
    const client = one(METHOD, 'scene-client');
    const router = one(METHOD, 'scene-router');
    const work = one(SPAN.work);
    expect(client.parentSpanId).toBe('');
    expect(router.parentSpanId).toBe(client.spanId);
    for (const name of [SPAN.queue, SPAN.choose, SPAN.attempt]) {
      for (const span of all(name)) expect(span.parentSpanId).toBe(router.spanId);
    }
    expect(work.parentSpanId).toBe(answering().spanId);
    for (const name of [SPAN.engineQueue, SPAN.enginePrefill, SPAN.engineDecode]) {
      expect(one(name).parentSpanId).toBe(work.spanId);
    }
  });

  it('tells servers from clients, so that a viewer draws the services', () => {
    expect([one(METHOD, 'scene-client').kind, one(METHOD, 'scene-router').kind]).toEqual(['CLIENT', 'SERVER']);
    expect([answering().kind, one(SPAN.work).kind, one(SPAN.engineDecode).kind]).toEqual(['CLIENT', 'SERVER', 'INTERNAL']);
  });

  it('lies within its parent in time, across processes', () => {
    const slackMs = 2;
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    for (const span of spans) {
      const parent = byId.get(span.parentSpanId);
      expect(span.endMs).toBeGreaterThanOrEqual(span.startMs);
      if (!parent) continue;
      expect(span.startMs).toBeGreaterThanOrEqual(parent.startMs - slackMs);
      expect(span.endMs).toBeLessThanOrEqual(parent.endMs + slackMs);
    }
  });

  it('gives the phases of the engine the lengths that the engine measured, one after the other', () => {
    const [queue, prefill, decode] = [one(SPAN.engineQueue), one(SPAN.enginePrefill), one(SPAN.engineDecode)];
    expect(queue.endMs - queue.startMs).toBeCloseTo(5, 2);
    expect(prefill.endMs - prefill.startMs).toBeCloseTo(20, 2);
    expect(decode.endMs - decode.startMs).toBeCloseTo(30, 2);
    expect(prefill.startMs).toBeCloseTo(queue.endMs, 2);
    expect(decode.startMs).toBeCloseTo(prefill.endMs, 2);
    expect(decode.attributes[ATTR.outputTokens]).toBe(7);
  });

  it('shows how long it waited for a slot, and why it went where it went', () => {
    const queue = one(SPAN.queue);
    expect(queue.endMs - queue.startMs).toBeGreaterThanOrEqual(19);
    expect(one(SPAN.choose).attributes).toMatchObject({
      [ATTR.node]: 'node-a',
      [ATTR.decisionReason]: 'the least expected wait',
      [ATTR.decisionConsidered]: 3,
      [ATTR.decisionExcluded]: 1,
      [ATTR.decisionExclusions]: ['tinyllama-1.1b-chat on node-c: writes no stories'],
      [ATTR.expectedFirstTokenMs]: 12.5,
    });
  });

  it('keeps the attempt that failed beside the one that answered', () => {
    const failed = all(SPAN.attempt).find(({ attributes }) => attributes[ATTR.epoch] === 1);
    expect(failed?.status).toEqual({ code: 'ERROR', message: 'NODE_LOST' });
    expect(failed?.attributes).toMatchObject({ [ATTR.node]: 'node-a', [ATTR.errorType]: 'NODE_LOST' });
    expect(answering().status.code).toBe('UNSET');
    expect(answering().attributes).toMatchObject({ [ATTR.node]: 'node-b', [ATTR.decodeMs]: 30 });
    expect(answering().events.map(({ name }) => name)).toEqual([SPAN_EVENT.firstToken]);
  });

  it('names usage, model and end as the GenAI conventions do', () => {
    const router = one(METHOD, 'scene-router');
    expect(router.attributes).toMatchObject({
      'rpc.system.name': 'grpc',
      'rpc.method': METHOD,
      'rpc.status_code': 'OK',
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'infermesh',
      'gen_ai.request.max_tokens': 64,
      'gen_ai.request.temperature': 0.5,
      'gen_ai.response.id': 'r-1',
      'gen_ai.response.model': 'stories-15m',
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.usage.input_tokens': 12,
      'gen_ai.usage.cache_read.input_tokens': 4,
      'gen_ai.usage.output_tokens': 7,
      'infermesh.request.task': 'story',
      'infermesh.tenant': 'acme',
    });
    const inSeconds = (router.endMs - router.startMs) / 1000;
    expect(router.attributes[ATTR.timeToFirstChunk]).toBeGreaterThan(0.02);
    expect(router.attributes[ATTR.timeToFirstChunk]).toBeLessThanOrEqual(inSeconds + 0.001);
  });

  it('says which process it was, and nothing of its command line', () => {
    const { resource } = one(SPAN.work);
    expect(resource).toMatchObject({ 'service.name': 'scene-node', 'service.instance.id': 'node-1' });
    expect(resource['host.name']).toBeTypeOf('string');
    expect(receiver.text()).not.toContain('scene.ts');
  });
});

describe('a request that its client cancels', () => {
  it('ends with its open attempts, is no error, and takes no late word', async () => {
    await using receiver = await startOtlpReceiver();
    await using scene = play('cancelled', '', receiver.env);
    expect(await scene.exited).toBe(0);
    const spans = await receiver.waitFor((came) => came.some(({ name }) => name === METHOD));
    const request = spans.find(({ name }) => name === METHOD);
    const open = spans.find(({ attributes }) => attributes[ATTR.epoch] === 2);
    expect(request?.status.code).toBe('UNSET');
    expect(request?.attributes).toMatchObject({ [ATTR.outcome]: 'cancelled', 'rpc.status_code': 'CANCELLED' });
    expect(open?.attributes).toMatchObject({ [ATTR.outcome]: 'cancelled', [ATTR.errorType]: 'CANCELLED' });
    expect(open?.attributes[ATTR.tokens]).toBeUndefined();
    expect(open?.endMs).toBeCloseTo(request?.endMs as number, 2);
    expect(scene.stderr()).toBe('');
  });
});

describe('an attempt whose engine dies while it is queued there', () => {
  it('shows the queue alone, not beyond its own end, and the reason', async () => {
    await using receiver = await startOtlpReceiver();
    await using scene = play('queued', '', receiver.env);
    expect(await scene.exited).toBe(0);
    const spans = await receiver.waitFor((came) => came.some(({ name }) => name === SPAN.work));
    const [queue, work] = [SPAN.engineQueue, SPAN.work].map((name) => spans.find((span) => span.name === name));
    expect(spans).toHaveLength(2);
    expect(queue?.endMs).toBeCloseTo(work?.endMs as number, 2);
    expect(work?.status).toEqual({ code: 'ERROR', message: 'ENGINE_CRASHED' });
  });
});
