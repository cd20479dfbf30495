/** What the ollama backend does when its server does not do as it should. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Job, LoadOptions } from '../../../nodes/backends/backend.ts';
import { OllamaBackend } from '../../../nodes/backends/ollama.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import { chunk, FakeOllama, recorded } from '../../support/ollama-server.ts';

const MODEL = 'qwen2.5:0.5b';
let ollama: FakeOllama;
let backend: OllamaBackend;

beforeEach(async () => {
  ollama = await FakeOllama.start();
  backend = new OllamaBackend();
});
afterEach(async () => {
  await backend.dispose();
  await ollama[Symbol.asyncDispose]();
});

const optionsOf = (url = ollama.url, model = MODEL): LoadOptions => ({
  ...loadOptions({ path: '', contextLength: 512 }, 2),
  ollama: { url, model, keepAlive: '10m' },
});
const load = (options = optionsOf(), progress = (_: number) => {}) => backend.load(options, progress);

function start(job: Job) {
  const sink = new Recorder();
  return { sink, run: backend.generate(job, sink) };
}
const outcomeOf = async (job: Job) => (await start(job).sink.ended).outcome;
const failed = (reason: string, message = /./) => ({ type: 'failure', reason, message: expect.stringMatching(message) });

/** Begins an answer with two tokens; the test goes on with it. */
function beginning(then: (response: ServerResponse) => void) {
  ollama.answer('/api/chat', (_, response) => {
    response.setHeader('Content-Type', 'application/x-ndjson');
    response.write(`${chunk(MODEL, 'Once')}\n${chunk(MODEL, ' upon')}\n`);
    then(response);
  });
}

describe('a cancel', () => {
  test('while the prompt is read reaches the engine, and the slot is free no sooner than the connection is closed', async () => {
    await load();
    const reading = Promise.withResolvers<ServerResponse>();
    ollama.answer('/api/chat', (_, response) => reading.resolve(response));
    const { sink, run } = start(jobOf('a long prompt'));
    const response = await reading.promise;
    const cut = once(response, 'close');
    expect(backend.currentLoad().running).toBe(1);
    run.cancel();
    await cut;
    expect((await sink.ended).outcome).toMatchObject(failed('CANCELLED'));
    expect(backend.currentLoad().running).toBe(0);
  });

  test('cuts its own request and no other', async () => {
    await load();
    const [one, other] = [start(jobOf('one', { maxTokens: 400 })), start(jobOf('other', { maxTokens: 60 }))];
    await Promise.all([one.sink.reached(2), other.sink.reached(2)]);
    expect(ollama.running).toBe(2);
    one.run.cancel();
    await one.sink.ended;
    expect((await other.sink.ended).outcome.type).toBe('finish');
    await vi.waitUntil(() => ollama.running === 0);
    expect(ollama.cut).toBe(1);
  });

  test('ends an answer that never ends', async () => {
    await load();
    beginning((response) => {
      const timer = setInterval(() => response.write(`${chunk(MODEL, ' and')}\n`), 1);
      response.once('close', () => clearInterval(timer));
    });
    const { sink, run } = start(jobOf('x', { maxTokens: 100_000 }));
    await sink.reached(50);
    run.cancel();
    expect((await sink.ended).outcome).toMatchObject(failed('CANCELLED'));
  });
});

test('a paused job is not read on, and a server that decodes faster has to wait', async () => {
  await load();
  const line = `${chunk(MODEL, ' word'.repeat(200))}\n`;
  const full = Promise.withResolvers<void>();
  let sent = 0;
  beginning((response) => {
    const fill = () => {
      while (!response.destroyed && sent < 50_000) {
        sent++;
        if (!response.write(line) && response.writableLength > 1_000_000) return full.resolve();
      }
    };
    fill();
    response.on('drain', fill);
  });
  const { sink, run } = start(jobOf('x', { maxTokens: 1_000_000 }));
  await sink.reached(2);
  run.pause();
  await full.promise;
  expect(sent).toBeLessThan(50_000);
  const held = sink.tokens;
  run.resume();
  await sink.reached(held + 100);
  run.cancel();
  await sink.ended;
});

describe('an answer', () => {
  test('that is cut off fails after the tokens that came', async () => {
    await load();
    const begun = Promise.withResolvers<ServerResponse>();
    beginning(begun.resolve);
    const { sink } = start(jobOf('x'));
    await sink.reached(2);
    (await begun.promise).destroy();
    expect(await sink.ended).toMatchObject({ outcome: failed('ENGINE_CRASHED', /lost in the middle/), tokens: 2 });
  });

  test.each([
    ['that ends without a last chunk', (response: ServerResponse) => response.end(), 'ENGINE_CRASHED', /lost in the middle/],
    [
      'whose runner dies',
      (response: ServerResponse) => response.end(recorded('chat-crashed.ndjson').split('\n')[2]),
      'ENGINE_CRASHED',
      /runner of the model died/,
    ],
    [
      'with a line that is no JSON',
      (response: ServerResponse) => response.end('SECRET {\n'),
      'ENGINE_FAILED',
      /not a JSON object/,
    ],
    [
      'with a line that never ends',
      (response: ServerResponse) => response.end('x'.repeat(2_000_000)),
      'ENGINE_FAILED',
      /over 1048576 characters/,
    ],
  ])('%s fails after the tokens that came, and nothing of it is printed', async (_, then, reason, message) => {
    const printed = (['log', 'warn', 'error'] as const).map((name) => vi.spyOn(console, name).mockReturnValue());
    await load();
    beginning(then);
    const { outcome, tokens } = await start(jobOf('x')).sink.ended;
    expect(outcome).toMatchObject(failed(reason, message));
    expect(tokens).toBe(2);
    expect(printed.flatMap((spy) => spy.mock.calls)).toEqual([]);
    for (const spy of printed) spy.mockRestore();
  });

  test.each([
    ['too long a prompt', 400, recorded('too-long.json'), 'CONTEXT_TOO_LONG', /8889 tokens .* 4095/],
    ['a model that was removed', 404, '{"error":"model \'x\' not found"}', 'MODEL_NOT_FOUND', /removed/],
    ['a full queue', 503, '{"error":"server busy, please try again"}', 'QUEUE_FULL', /queue is full/],
    ['a page of a proxy', 502, '<html>SECRET</html>', 'DRAINING', /proxy/],
    ['a page where an answer should be', 200, '<html>SECRET</html>\n', 'ENGINE_FAILED', /not a JSON object/],
    ['an error that nobody knows', 500, '{"error":"SECRET"}', 'ENGINE_FAILED', /HTTP 500/],
  ])('to %s is a failure, in words of our own', async (_, status, body, reason, message) => {
    await load();
    ollama.answer('/api/chat', (_request, response) => {
      response.writeHead(status, { 'Content-Type': body.startsWith('{') ? 'application/json' : 'text/html' }).end(body);
    });
    const outcome = await outcomeOf(jobOf('x'));
    expect(outcome).toMatchObject(failed(reason, message));
    expect(JSON.stringify(outcome)).not.toContain('SECRET');
  });

  test('of an Ollama that is gone never began, and is to begin elsewhere', async () => {
    await load();
    const { port } = ollama;
    await ollama[Symbol.asyncDispose]();
    expect(await outcomeOf(jobOf('x'))).toMatchObject({ ...failed('DRAINING', /no Ollama answers/), retryAfterMs: 2000 });
    ollama = await FakeOllama.start({ port });
  });
});

test.each([429, 503])('Ollama behind a proxy that says with HTTP %i when to come back is given the time', async (status) => {
  await load();
  ollama.answer('/api/chat', (_, response) => {
    response.writeHead(status, { 'Retry-After': '7', 'Content-Type': 'text/html' }).end('<html>SECRET</html>');
  });
  const outcome = await outcomeOf(jobOf('x'));
  expect(outcome).toEqual({ type: 'failure', reason: 'QUEUE_FULL', message: "Ollama's own queue is full", retryAfterMs: 7000 });
});

test('every request says the same of the runner, or Ollama would load the model anew', async () => {
  await load();
  await outcomeOf(jobOf('one', { maxTokens: 3, stop: ['x'] }));
  await outcomeOf(jobOf('two', { maxTokens: 3, sampling: { temperature: 1, seed: 3 } }));
  const chats = ollama.requests.filter(({ path }) => path === '/api/chat').map(({ body }) => body);
  expect(chats.length).toBe(4);
  for (const { options, keep_alive } of chats) {
    expect(options).toMatchObject({ num_ctx: 512, num_gpu: 0, num_thread: 1 });
    expect(keep_alive).toBe('10m');
  }
});

describe('loading', () => {
  test('tells what is served: version and place, digest, quantisation, licence, context', async () => {
    expect(await load()).toMatchObject({
      engine: 'ollama',
      engineVersion: '0.34.0 (50 % GPU)',
      digest: 'sha256:a8b0c51577010a279d933d14c2a8ab4b268079d44c5c8830c0a93900f1827c67',
      quantization: 'Q4_K_M',
      contextLength: 512,
      resumes: false,
      structuredOutput: true,
      gpuShare: 0.5,
      memoryBytes: expect.toSatisfy((bytes: number) => bytes > 0),
      // What a GPU draws its threads do not tell.
      watts: 0,
    });
  });

  test('fetches a model that is not there, and tells how far it is', async () => {
    await using empty = await FakeOllama.start({ installed: [] });
    const fractions: number[] = [];
    await load(optionsOf(empty.url), (fraction) => fractions.push(fraction));
    expect(empty.requests.map(({ path }) => path)).toContain('/api/pull');
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(fractions).toContain(0.225);
    expect(fractions.at(-1)).toBe(1);
  });

  test("says in Ollama's words why a model cannot be fetched", async () => {
    await using empty = await FakeOllama.start({ installed: [] });
    empty.answer('/api/pull', (_, response) => {
      response.setHeader('Content-Type', 'application/x-ndjson');
      response.end('{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n');
    });
    await expect(load(optionsOf(empty.url))).rejects.toMatchObject({
      reason: 'ENGINE_FAILED',
      message: `Ollama cannot fetch ${MODEL}: pull model manifest: file does not exist`,
    });
  });

  test('is refused by a server that is too old, and by one that is no Ollama', async () => {
    await using old = await FakeOllama.start({ version: '0.12.5' });
    await expect(load(optionsOf(old.url))).rejects.toThrow(/0\.12\.5 is too old/);
    ollama.answer('/api/version', (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('hello');
    });
    await expect(load()).rejects.toMatchObject({ reason: 'ENGINE_FAILED' });
  });

  test.each([
    ['/api/version', 'null'],
    ['/api/version', '[]'],
    ['/api/tags', '"text"'],
    ['/api/show', '{"error":"SECRET"}'],
    ['/api/show', 'nonsense'],
    ['/api/chat', '{"message":{"content":"SECRET"}}'],
    ['/api/chat', '7'],
  ])('of a server whose %s answers %s fails, in words of our own', async (path, body) => {
    ollama.answer(path, (_, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(body);
    });
    const refused = { reason: 'ENGINE_FAILED', message: expect.not.stringContaining('SECRET') };
    await expect(load()).rejects.toMatchObject(refused);
  });

  test('of a server that is not there says how to start it', async () => {
    const { url } = ollama;
    await ollama[Symbol.asyncDispose]();
    await expect(load(optionsOf(url))).rejects.toMatchObject({
      reason: 'UNREACHABLE',
      message: expect.stringMatching(/^no Ollama answers at http:.*ECONNREFUSED.*ollama serve/),
    });
    ollama = await FakeOllama.start();
  });

  test('fails as a crash where the server dies in the middle of a pull, so that it is begun again', async () => {
    const empty = await FakeOllama.start({ installed: [] });
    const pulling = Promise.withResolvers<void>();
    empty.answer('/api/pull', (_, response) => {
      response.setHeader('Content-Type', 'application/x-ndjson');
      response.write('{"status":"pulling manifest"}\n');
      pulling.resolve();
    });
    const refused = expect(load(optionsOf(empty.url))).rejects.toMatchObject({ reason: 'ENGINE_CRASHED' });
    await pulling.promise;
    await empty[Symbol.asyncDispose]();
    await refused;
  });

  test('ends when the backend is disposed, also in the middle of a pull', async () => {
    await using empty = await FakeOllama.start({ installed: [] });
    const pulling = Promise.withResolvers<void>();
    empty.answer('/api/pull', (_, response) => {
      response.setHeader('Content-Type', 'application/x-ndjson');
      response.write('{"status":"pulling manifest"}\n');
      pulling.resolve();
    });
    const loading = load(optionsOf(empty.url));
    const refused = expect(loading).rejects.toMatchObject({ reason: 'DRAINING' });
    await pulling.promise;
    await backend.dispose();
    await refused;
  });
});

describe('vectors', () => {
  const embed = async (signal = new AbortController().signal) => backend.embed(['a', 'b'], signal);
  beforeEach(() => load(optionsOf(ollama.url, 'all-minilm')));

  test.each([
    ['too few', { embeddings: [[1, 2]] }],
    [
      'one without a direction',
      {
        embeddings: [
          [0, 0],
          [1, 0],
        ],
      },
    ],
    ['of different lengths', { embeddings: [[1, 0], [1]] }],
    ['of something else', { embeddings: 'none' }],
  ])('are refused where they are %s', async (_, answer) => {
    ollama.answer(
      '/api/embed',
      (_request, response) => void response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer)),
    );
    expect(await embed()).toMatchObject({ type: 'failure', reason: 'ENGINE_FAILED' });
  });

  test('of a text that Ollama refuses to cut are made of its beginning, and the others of all of them', async () => {
    const asked: string[][] = [];
    ollama.answer('/api/embed', ({ body }, response) => {
      asked.push(body.input);
      const refused = body.input.some((text: string) => text.length > 60);
      response.writeHead(refused ? 400 : 200, { 'Content-Type': 'application/json' });
      const embeddings = body.input.map((text: string) => [text.length, 1]);
      response.end(
        JSON.stringify(refused ? { error: 'the input length exceeds the context length' } : { embeddings, prompt_eval_count: 3 }),
      );
    });
    const made = await backend.embed(['short', 'x'.repeat(200), 'other'], new AbortController().signal);
    expect(made).toMatchObject({ type: 'vectors', inputTokens: 9 });
    expect(asked.slice(1).map(([text = '']) => text.length)).toEqual([5, 200, 100, 50, 5]);
    ollama.answer('/api/embed', (_, response) => {
      response
        .writeHead(400, { 'Content-Type': 'application/json' })
        .end('{"error":"the input length exceeds the context length"}');
    });
    expect(await embed()).toMatchObject({ type: 'failure', reason: 'CONTEXT_TOO_LONG' });
  });

  test('that are cancelled are cut at the connection', async () => {
    const asked = Promise.withResolvers<ServerResponse>();
    ollama.answer('/api/embed', (_, response) => asked.resolve(response));
    const cancel = new AbortController();
    const made = embed(cancel.signal);
    const closed = once(await asked.promise, 'close');
    cancel.abort();
    expect(await made).toMatchObject({ type: 'failure', reason: 'CANCELLED' });
    await closed;
  });
});
