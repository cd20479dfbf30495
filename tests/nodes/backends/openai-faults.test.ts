/** The openai backend and servers that refuse, break off, never end, go away or have enough. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test, vi } from 'vitest';
import type { Job, LoadOptions } from '../../../nodes/backends/backend.ts';
import { OpenAiBackend } from '../../../nodes/backends/openai.ts';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import type { OpenAiServer, OpenAiServerOptions, Script } from '../../support/openai-server.ts';
import { refuse, startOpenAiServer } from '../../support/openai-server.ts';
import { freePort } from '../../support/ports.ts';

const SECRET = 'a prompt that nobody may read';
const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const delta = (content: string, finish: string | null = null) =>
  event({ choices: [{ index: 0, delta: { content }, finish_reason: finish }] });

function optionsFor({ url, model }: Pick<OpenAiServer, 'url' | 'model'>, slots = 2): LoadOptions {
  return { ...loadOptions({ path: '' }, slots), server: { url, model } };
}

interface World extends AsyncDisposable {
  readonly server: OpenAiServer;
  readonly backend: OpenAiBackend;
  readonly warned: string[];
  ask(job?: Partial<Job>): { readonly sink: Recorder; readonly run: ReturnType<OpenAiBackend['generate']> };
}

async function world(options: OpenAiServerOptions = {}, slots = 2): Promise<World> {
  const server = await startOpenAiServer(options);
  const warned: string[] = [];
  const backend = new OpenAiBackend((message) => warned.push(message));
  await backend.load(optionsFor(server, slots), () => {});
  return {
    server,
    backend,
    warned,
    ask(job = {}) {
      const sink = new Recorder(job.delivered?.tokens);
      return { sink, run: backend.generate(jobOf(SECRET, job), sink) };
    },
    async [Symbol.asyncDispose]() {
      await backend.dispose();
      await server[Symbol.asyncDispose]();
    },
  };
}

function stream(response: ServerResponse, ...events: readonly string[]): ServerResponse {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const each of events) response.write(each);
  return response;
}

test('a cancel stops the engine of the server, long before the answer would end', async () => {
  await using at = await world({ tokenMs: 5, contextLength: 100_000 });
  const { sink, run } = at.ask({ maxTokens: 10_000 });
  await sink.reached(3);
  run.cancel();
  await at.server.stopped(1);
  expect((await sink.ended).outcome).toMatchObject({ reason: 'CANCELLED' });
  expect(at.server.cancelled[0]).toBeLessThan(50);
  expect(at.server.running).toBe(0);
});

test('a stop string stops the engine of the server too', async () => {
  await using at = await world({ tokenMs: 5, contextLength: 100_000 });
  const { sink: whole } = at.ask({ maxTokens: 20 });
  await whole.ended;
  const { sink } = at.ask({ maxTokens: 10_000, stop: [whole.text.slice(20, 26)] });
  expect((await sink.ended).outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_STOP_STRING });
  await at.server.stopped(1);
  expect(at.server.cancelled[0]).toBeLessThan(50);
});

test('a paused job holds the server back, since nothing is read', async () => {
  const chunk = delta('x'.repeat(1000));
  let written = 0;
  const flood: Script = async (response) => {
    stream(response);
    const closed = once(response, 'close');
    while (!response.destroyed && written < 100_000) {
      written++;
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), closed]);
    }
  };
  await using at = await world({ contextLength: 1_000_000 });
  at.server.script(flood);
  const { sink, run } = at.ask({ maxTokens: 200_000 });
  await sink.reached(1);
  run.pause();
  // The buffers of both sockets fill, and then nothing moves while another job runs from start to end.
  const still = async () => {
    const before = written;
    await at.ask().sink.ended;
    return written === before;
  };
  await vi.waitUntil(still);
  expect(written).toBeLessThan(50_000);
  run.cancel();
  await sink.ended;
});

const refusals: readonly (readonly [string, Script, object])[] = [
  ['refuses the key', (response) => refuse(response, 401, { message: `wrong key for ${SECRET}` }), { reason: 'ENGINE_FAILED' }],
  ['has lost the model', (response) => refuse(response, 404, { message: SECRET }), { reason: 'MODEL_NOT_FOUND' }],
  ['fails', (response) => refuse(response, 500, { message: SECRET }), { reason: 'ENGINE_CRASHED' }],
  ['refuses the request', (response) => refuse(response, 400, { message: SECRET, code: SECRET }), { reason: 'ENGINE_FAILED' }],
  ['closes the connection', (response) => response.destroy(), { reason: 'ENGINE_CRASHED' }],
  ['says nothing at all', (response) => stream(response).end(), { reason: 'ENGINE_FAILED' }],
  ['sends no JSON', (response) => stream(response, delta('A'), event(SECRET)).end(), { reason: 'ENGINE_FAILED' }],
  [
    'sends an error',
    (response) => stream(response, delta('A'), event({ error: { message: SECRET } })).end(),
    { reason: 'ENGINE_CRASHED' },
  ],
  ['ends in the middle', (response) => stream(response, delta('A')).end(), { reason: 'ENGINE_CRASHED' }],
  ['breaks off in the middle', (response) => stream(response, delta('A')).destroy(), { reason: 'ENGINE_CRASHED' }],
  ['calls a tool', (response) => stream(response, delta('', 'tool_calls')).end(), { reason: 'ENGINE_FAILED' }],
];

test.each(refusals)('a server that %s ends the job with its reason and none of its words', async (_, script, expected) => {
  await using at = await world();
  at.server.script(script);
  const { outcome } = await at.ask().sink.ended;
  expect(outcome).toMatchObject({ type: 'failure', ...expected });
  expect(JSON.stringify(outcome)).not.toContain(SECRET);
  expect((await at.ask().sink.ended).outcome.type).toBe('finish');
});

test('an answer without [DONE] and without a usage is whole once it has its finish', async () => {
  await using at = await world();
  at.server.script((response) => {
    stream(response, delta('A'), delta(' dragon', 'stop')).end();
  });
  const { sink } = at.ask();
  expect(await sink.ended).toMatchObject({
    outcome: { reason: FinishReason.FINISH_REASON_STOP, usage: { outputTokens: 2 } },
    tokens: 2,
  });
  expect(sink.text).toBe('A dragon');
});

test('a server that goes on behind the limit, or never closes behind the finish, is cut', async () => {
  const forever: Script = (response) => {
    stream(response);
    const timer = setInterval(() => response.write(delta('x')), 1);
    response.once('close', () => clearInterval(timer));
  };
  await using at = await world();
  at.server.script(forever, (response) => void stream(response, delta('A', 'stop')));
  const { sink: endless } = at.ask({ maxTokens: 10 });
  const { sink: open } = at.ask();
  expect(await endless.ended).toMatchObject({ outcome: { reason: FinishReason.FINISH_REASON_LENGTH }, tokens: 10 });
  expect(await open.ended).toMatchObject({ outcome: { reason: FinishReason.FINISH_REASON_STOP }, tokens: 1 });
  await vi.waitUntil(() => at.backend.currentLoad().running === 0);
});

test('a slot is kept back for as long as the server says, and while all are, nothing is sent', async () => {
  await using at = await world();
  const enough: Script = (response) => refuse(response, 429, { message: 'slow down' }, { 'retry-after': '60' });
  at.server.script(enough, enough);
  const refused = [at.ask(), at.ask()].map(({ sink }) => sink.ended);
  for (const { outcome } of await Promise.all(refused)) {
    expect(outcome).toMatchObject({ reason: 'QUEUE_FULL', retryAfterMs: 60_000 });
  }
  expect(at.backend.currentLoad()).toMatchObject({ running: 0, usableSlots: 0 });
  const asked = at.server.chats.length;
  expect((await at.ask().sink.ended).outcome).toMatchObject({
    reason: 'QUEUE_FULL',
    message: expect.stringMatching(/asked again in \d+ s$/),
    retryAfterMs: expect.toSatisfy((ms: number) => ms > 0 && ms <= 60_000),
  });
  expect(at.server.chats.length).toBe(asked);
});

test('while all slots are kept back the first that is free again says when to come back', async () => {
  await using at = await world();
  const enough =
    (seconds: string): Script =>
    (response) =>
      refuse(response, 429, { message: 'slow down' }, { 'retry-after': seconds });
  at.server.script(enough('300'), enough('600'));
  await Promise.all([at.ask(), at.ask()].map(({ sink }) => sink.ended));
  const { outcome } = await at.ask().sink.ended;
  expect(outcome).toMatchObject({ retryAfterMs: expect.toSatisfy((ms: number) => ms > 0 && ms <= 300_000) });
});

test('a slot that was kept back is used again when its time is over', async () => {
  await using at = await world({}, 1);
  at.server.script((response) => refuse(response, 429, { message: 'slow down' }, { 'retry-after-ms': '20' }));
  expect((await at.ask().sink.ended).outcome).toMatchObject({ reason: 'QUEUE_FULL', retryAfterMs: 20 });
  await vi.waitUntil(() => at.backend.currentLoad().usableSlots === undefined);
  expect((await at.ask().sink.ended).outcome.type).toBe('finish');
});

test('a server that does not say for how long it takes no more is not made to have said it', async () => {
  await using at = await world();
  at.server.script((response) => refuse(response, 429, { message: 'slow down' }));
  const { outcome } = await at.ask().sink.ended;
  expect(outcome).toMatchObject({ reason: 'QUEUE_FULL' });
  expect(outcome).not.toHaveProperty('retryAfterMs');
  expect(at.backend.currentLoad().usableSlots).toBe(1);
});

test('what a server does not take is left out, and the operator is told once', async () => {
  await using at = await world({ form: 'openai', refuses: ['seed', 'presence_penalty'] });
  const sampling = { seed: 4, presencePenalty: 1, topK: 3, temperature: 1 };
  for (let i = 0; i < 3; i++) expect((await at.ask({ sampling }).sink.ended).outcome.type).toBe('finish');
  expect(at.warned).toEqual([
    'the server takes no top_k: requests go without it',
    'the server takes no seed: requests go without it',
    'the server takes no presence_penalty: requests go without it',
  ]);
  expect(at.server.chats.at(-1)).not.toHaveProperty('seed');
});

test('a server that passes over schemas is not taken for one that holds an answer to them', async () => {
  await using at = await world({ schemas: false });
  expect((await at.ask({ jsonSchema: '{"type":"integer"}' }).sink.ended).outcome).toMatchObject({
    reason: 'UNSUPPORTED',
    message: 'the server cannot hold an answer to a JSON schema',
  });
});

test('the load of vLLM is in the reports', async () => {
  await using at = await world();
  await vi.waitUntil(() => at.backend.currentLoad().kvCacheUse === 0.25);
});

test('a server that dies is told once, after every job has its end', async () => {
  await using at = await world({ tokenMs: 20, contextLength: 100_000 });
  const told: string[] = [];
  const lost = new Promise<void>((resolve) => at.backend.onLost((message) => resolve(void told.push(message))));
  const { sink } = at.ask({ maxTokens: 10_000 });
  await sink.reached(2);
  await at.server.die();
  expect((await sink.ended).outcome).toMatchObject({ reason: 'ENGINE_CRASHED' });
  // It never began, and is to begin elsewhere.
  expect((await at.ask().sink.ended).outcome).toMatchObject({ reason: 'DRAINING', retryAfterMs: 2000 });
  await lost;
  expect(told).toEqual([expect.stringMatching(/^the server at 127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)$/)]);
  expect((await at.ask().sink.ended).outcome).toMatchObject({ reason: 'ENGINE_CRASHED' });
});

test('loading says what is wrong and what to do', async () => {
  const load = (options: LoadOptions) => new OpenAiBackend().load(options, () => {});
  const nobody = { url: `http://127.0.0.1:${await freePort()}/v1`, model: 'any' };
  await expect(load(optionsFor(nobody))).rejects.toMatchObject({
    reason: 'UNREACHABLE',
    message: expect.stringMatching(/--openai-url right/),
  });
  await using server = await startOpenAiServer({ key: 'the-right-key-of-it', models: ['one', 'two'] });
  await expect(load(optionsFor(server))).rejects.toMatchObject({
    reason: 'ENGINE_FAILED',
    message: expect.stringMatching(/--openai-key-file/),
  });
  vi.stubEnv('KEY_FOR_TESTS', 'the-right-key-of-it');
  const withKey = (model: string) => ({ ...optionsFor(server), server: { url: server.url, model, keyEnv: 'KEY_FOR_TESTS' } });
  await expect(load(withKey('three'))).rejects.toMatchObject({
    reason: 'MODEL_NOT_FOUND',
    message: expect.stringMatching(/it has one, two/),
  });
  vi.stubEnv('KEY_FOR_TESTS', 'the-wrong-key-of-it');
  const wrong = await load(withKey('one')).catch((error: Error) => error.message);
  expect(wrong).not.toContain('the-wrong-key');
  vi.unstubAllEnvs();
});
