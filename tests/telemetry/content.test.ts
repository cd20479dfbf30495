/** Prompts and answers in traces: only where the operator asks, and only in the router's request span. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { replayText } from '../../nodes/backends/replay.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { startMesh } from '../support/mesh.ts';
import type { OtlpReceiver } from '../support/otlp.ts';
import { startOtlpReceiver } from '../support/otlp.ts';

const PROMPT = 'a prompt that belongs to somebody';
const messages = [{ role: Role.ROLE_USER, text: PROMPT }];
const ASKED = { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'true' };

let receiver: OtlpReceiver;
beforeAll(async () => {
  receiver = await startOtlpReceiver();
});
afterAll(() => receiver?.[Symbol.asyncDispose]());

const node = () => ({ engine: 'replay' as const, model: 'canned', replay: 'length=20', env: receiver.env });

test('an operator who asks for content finds the prompt and the answer in the request span', async () => {
  const mesh = await startMesh({ nodes: [node()], routerEnv: { ...receiver.env, ...ASKED } });
  const { text, started } = await mesh.client.ask({ messages: PROMPT });
  await mesh[Symbol.asyncDispose]();
  expect(text).toBe(replayText(messages, 20));
  const spans = await receiver.waitFor((all) =>
    all.some(({ attributes }) => attributes['gen_ai.response.id'] === started.requestId),
  );
  const holding = spans.filter((span) => JSON.stringify(span).includes(PROMPT));
  expect(holding.map(({ name, service }) => [name, service])).toEqual([
    ['infermesh.v1.InferenceService/Chat', 'infermesh-router'],
  ]);
  const { attributes } = holding[0]!;
  expect(JSON.parse(String(attributes['gen_ai.input.messages']))).toEqual([
    { role: 'user', parts: [{ type: 'text', content: PROMPT }] },
  ]);
  expect(JSON.parse(String(attributes['gen_ai.output.messages']))).toEqual([
    { role: 'assistant', parts: [{ type: 'text', content: text }] },
  ]);
});
