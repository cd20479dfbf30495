import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { ATTR, SPAN, SPAN_EVENT } from '../../telemetry/names.ts';
import type { Member, TestMesh } from '../support/mesh.ts';
import { startMember, startMesh } from '../support/mesh.ts';
import type { OtlpReceiver, ReceivedSpan } from '../support/otlp.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { CHAT, chatBytes, RawConnection } from './wire.ts';

const METHOD = 'infermesh.v1.InferenceService/Chat';
const CANARY = 'zebra-quartz-4917';
const SLACK_MS = 3;

let receiver: OtlpReceiver;
let mesh: TestMesh;
let spans: readonly ReceivedSpan[];
let caller: Member;

/** Every place where a text may stand, by the command line, which traces. */
const ask = ['chat', '--model', 'stories-15m', '--max-tokens', '20', '--stop', CANARY, '--session', CANARY, CANARY];

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  mesh = await startMesh({ routerEnv: receiver.env, nodes: [{ env: receiver.env, slots: 1 }] });
  caller = startMember([...ask, '--router', mesh.address], receiver.env);
  const code = await new Promise((resolve) => caller.process.once('close', resolve));
  expect(caller.output()).not.toBe('');
  expect(code).toBe(0);
  const services = ['infermesh-cli', 'infermesh-router', 'infermesh-node'];
  // Each process sends what it has by itself; its topmost span is the last to end.
  const last = [METHOD, METHOD, SPAN.work];
  const isWhole = (came: readonly ReceivedSpan[]) =>
    services.every((name, i) => came.some((span) => span.service === name && span.name === last[i]));
  const all = await receiver.waitFor(isWhole);
  spans = all.filter(({ traceId }) => traceId === all.find(({ service }) => service === 'infermesh-cli')?.traceId);
});
afterAll(async () => {
  await mesh[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

function one(name: string, service?: string): ReceivedSpan {
  const found = spans.filter((span) => span.name === name && (service === undefined || span.service === service));
  expect(found, `spans named ${name} of ${service ?? 'any service'}`).toHaveLength(1);
  return found[0] as ReceivedSpan;
}

describe('one chat through client, router, node and engine', () => {
  it('is one trace, each span below the one that caused it', () => {
    const [client, router] = [one(METHOD, 'infermesh-cli'), one(METHOD, 'infermesh-router')];
    const [attempt, work] = [one(SPAN.attempt), one(SPAN.work)];
    expect(client.parentSpanId).toBe('');
    expect(router.parentSpanId).toBe(client.spanId);
    expect(one(SPAN.choose).parentSpanId).toBe(router.spanId);
    expect(attempt.parentSpanId).toBe(router.spanId);
    expect(work.parentSpanId).toBe(attempt.spanId);
    for (const name of [SPAN.engineQueue, SPAN.enginePrefill, SPAN.engineDecode]) {
      expect(one(name).parentSpanId).toBe(work.spanId);
    }
    expect(work.service).toBe('infermesh-node');
  });

  it('lies in time as it lies in the tree', () => {
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    for (const span of spans) {
      const parent = byId.get(span.parentSpanId);
      if (!parent) continue;
      expect(span.startMs, `${span.name} begins before ${parent.name}`).toBeGreaterThanOrEqual(parent.startMs - SLACK_MS);
      expect(span.endMs, `${span.name} ends after ${parent.name}`).toBeLessThanOrEqual(parent.endMs + SLACK_MS);
    }
    const [prefill, decode] = [one(SPAN.enginePrefill), one(SPAN.engineDecode)];
    expect(decode.startMs).toBeGreaterThanOrEqual(prefill.endMs - SLACK_MS);
    const [first] = one(SPAN.attempt).events;
    expect(first?.name).toBe(SPAN_EVENT.firstToken);
    expect(first?.atMs).toBeGreaterThanOrEqual(prefill.endMs - SLACK_MS);
  });

  it('says what was asked, chosen, used and why, by the names of the GenAI conventions', () => {
    const router = one(METHOD, 'infermesh-router').attributes;
    expect(router).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'stories-15m',
      'gen_ai.response.model': 'stories-15m',
      'gen_ai.request.max_tokens': 20,
      'gen_ai.response.finish_reasons': ['length'],
      'gen_ai.usage.output_tokens': 20,
      [ATTR.node]: 'node-1',
      [ATTR.outcome]: 'finished',
      [ATTR.rpcStatus]: 'OK',
    });
    expect(router['gen_ai.usage.input_tokens']).toBeGreaterThan(3);
    expect(one(SPAN.choose).attributes[ATTR.decisionReason]).toContain('stories-15m');
    expect(one(SPAN.engineDecode).attributes[ATTR.outputTokens]).toBe(20);
  });
});

describe('a chat that waits for a slot', () => {
  it('shows the wait as a span of its own', async () => {
    const both = [1, 2].map(() => mesh.client.ask({ messages: CANARY, maxTokens: 100 }));
    const ids = (await Promise.all(both)).map(({ started }) => started.traceId);
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
    const waits = await receiver.waitFor((came) =>
      came.some(({ name, traceId }) => name === SPAN.queue && ids.includes(traceId)),
    );
    const wait = waits.find(({ name }) => name === SPAN.queue) as ReceivedSpan;
    const choice = waits.find(({ name, traceId }) => name === SPAN.choose && traceId === wait.traceId);
    expect(wait.endMs - wait.startMs).toBeGreaterThan(10);
    expect(choice?.startMs).toBeGreaterThanOrEqual(wait.endMs - SLACK_MS);
  });
});

describe('a chat that fails or is refused', () => {
  it('is a trace with its reason, and no word of the prompt', async () => {
    const long = mesh.client.ask({ messages: `${CANARY} `.repeat(100), model: 'stories-15m' });
    await expect(long).rejects.toMatchObject({ reason: 'CONTEXT_TOO_LONG' });
    await expect(mesh.client.ask({ messages: 'hi', model: CANARY })).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
    await using wire = new RawConnection(mesh.address);
    const labels = { a: CANARY.repeat(20) };
    const { fault } = await wire.call(CHAT, chatBytes({ messages: [{ role: Role.ROLE_USER, text: 'hi' }], labels }));
    expect(fault.reason).toBe('INVALID_REQUEST');
    await expect(mesh.client.ask({ messages: 'hi', jsonSchema: { type: CANARY } })).rejects.not.toThrow(CANARY);
    const reasons = ['CONTEXT_TOO_LONG', 'MODEL_NOT_FOUND', 'INVALID_REQUEST'];
    await receiver.waitFor((came) =>
      reasons.every((reason) => came.some(({ name, attributes }) => name === METHOD && attributes[ATTR.errorType] === reason)),
    );
  });
});

describe('what a user wrote', () => {
  it('stands in no span and in no line of any log', () => {
    expect(receiver.text()).toContain('stories-15m');
    expect(receiver.text()).not.toContain(CANARY);
    for (const member of [mesh.router, ...mesh.nodes]) {
      expect(member.output()).toContain('"event"');
      expect(member.output()).not.toContain(CANARY);
    }
  });
});
