/** Servers that do their worst, to each engine that trusts one: what comes of it is bounded, told in our words, and over. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Backend, Job } from '../../../nodes/backends/backend.ts';
import { OllamaBackend } from '../../../nodes/backends/ollama.ts';
import { OpenAiBackend } from '../../../nodes/backends/openai.ts';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import { chunk, FakeOllama } from '../../support/ollama-server.ts';
import { startOpenAiServer } from '../../support/openai-server.ts';

const SECRET = 'a prompt that nobody may read';
/** A line that never ends is given up long before so much of it has come. */
const FAR_TOO_MUCH = 256 << 20;

type Script = (response: ServerResponse) => unknown;

interface Subject extends AsyncDisposable {
  readonly backend: Backend;
  /** Answers the next chat in its own way. */
  script(script: Script): void;
}

interface Kind {
  readonly start: () => Promise<Subject>;
  readonly type: string;
  readonly piece: (text: string) => string;
  readonly last: string;
  /** What may come without saying anything. */
  readonly nothing: string;
}

const sse = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
const delta = (content: string, finish: string | null = null) =>
  sse({ choices: [{ index: 0, delta: { content }, finish_reason: finish }] });

const KINDS: Readonly<Record<'openai' | 'ollama', Kind>> = {
  openai: {
    async start() {
      const server = await startOpenAiServer();
      const backend = new OpenAiBackend();
      await backend.load({ ...loadOptions({ path: '' }, 2), server: { url: server.url, model: server.model } }, () => {});
      return {
        backend,
        script: (script) => server.script(async (response) => void (await script(response))),
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      };
    },
    type: 'text/event-stream',
    piece: (text) => delta(text),
    last: delta('', 'stop') + sse('[DONE]'),
    nothing: ': still here\n\n',
  },
  ollama: {
    async start() {
      const server = await FakeOllama.start();
      const backend = new OllamaBackend();
      const ollama = { url: server.url, model: 'qwen2.5:0.5b', keepAlive: '10m' };
      await backend.load({ ...loadOptions({ path: '' }, 2), ollama }, () => {});
      return {
        backend,
        script: (script) =>
          server.answer('/api/chat', async (_, response) => {
            server.answer('/api/chat');
            await script(response);
          }),
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      };
    },
    type: 'application/x-ndjson',
    piece: (text) => `${chunk('m', text)}\n`,
    last: `${chunk('m', '', { done: true, done_reason: 'stop' })}\n`,
    nothing: `${chunk('m', '')}\n`,
  },
};

describe.each(Object.entries(KINDS))('%s', (_, { start, type, piece, last, nothing }) => {
  let subject: Subject;
  beforeEach(async () => {
    subject = await start();
  });
  afterEach(async () => {
    await subject.backend.dispose();
    await subject[Symbol.asyncDispose]();
  });

  function ask(script?: Script, job: Partial<Job> = {}) {
    if (script) subject.script(script);
    const sink = new Recorder();
    return { sink, run: subject.backend.generate(jobOf(SECRET, job), sink) };
  }

  /** Begins to answer as it should. */
  const begin = (response: ServerResponse, ...parts: readonly string[]): ServerResponse => {
    response.writeHead(200, { 'content-type': type });
    response.write(parts.join(''));
    return response;
  };

  /** Sends the same for ever, as fast as it is taken. @returns how many bytes, once the other side has had enough */
  async function flood(response: ServerResponse, part: string): Promise<number> {
    let sent = 0;
    const closed = once(response, 'close');
    while (!response.destroyed && sent < FAR_TOO_MUCH) {
      sent += part.length;
      if (!response.write(part)) await Promise.race([once(response, 'drain'), closed]);
    }
    return sent;
  }

  test('an answer without end ends at max_tokens, and the connection with it', async () => {
    const over = Promise.withResolvers<number>();
    const { sink } = ask((response) => over.resolve(flood(begin(response), piece(' and'))), { maxTokens: 50 });
    const { outcome, tokens } = await sink.ended;
    expect(outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_LENGTH, usage: { outputTokens: 50 } });
    expect([tokens, sink.text]).toEqual([50, ' and'.repeat(50)]);
    expect(await over.promise).toBeLessThan(FAR_TOO_MUCH);
  });

  test('an answer that has all its tokens and no end is over soon after', async () => {
    const { sink } = ask((response) => begin(response, piece('a'), piece('b')), { maxTokens: 2 });
    expect((await sink.ended).outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_LENGTH });
    expect(sink.text).toBe('ab');
  });

  test.each([
    ['begins and falls silent', (response: ServerResponse) => void begin(response, piece('a'))],
    ['takes the request and never answers', () => {}],
  ])('a server that %s is left when nobody waits any more', async (_what, script) => {
    const begun = Promise.withResolvers<ServerResponse>();
    const { sink, run } = ask((response) => {
      begun.resolve(response);
      script(response);
    });
    const left = once(await begun.promise, 'close');
    run.cancel();
    expect((await sink.ended).outcome).toMatchObject({ type: 'failure', reason: 'CANCELLED' });
    await left;
  });

  test('a server that says nothing without end is given up', async () => {
    const over = Promise.withResolvers<number>();
    const { sink } = ask((response) => over.resolve(flood(begin(response, piece('a')), nothing.repeat(1000))));
    expect(await sink.ended).toMatchObject({ outcome: { type: 'failure', reason: 'ENGINE_FAILED' }, tokens: 1 });
    expect(await over.promise).toBeLessThan(FAR_TOO_MUCH);
  });

  test('a line without end is given up, and not read to it', async () => {
    const over = Promise.withResolvers<number>();
    const { sink } = ask((response) => over.resolve(flood(begin(response, piece('a')), 'x'.repeat(65_536))));
    expect(await sink.ended).toMatchObject({ outcome: { type: 'failure', reason: 'ENGINE_FAILED' }, tokens: 1 });
    expect(await over.promise).toBeLessThan(FAR_TOO_MUCH);
  });

  test('an answer that drips byte by byte is the same as at once', async () => {
    const whole = Buffer.from(piece('A dragon ') + piece('🐉竜') + piece('.') + last);
    const { sink } = ask(async (response) => {
      begin(response).flushHeaders();
      for (const byte of whole) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    });
    expect((await sink.ended).outcome).toMatchObject({ reason: FinishReason.FINISH_REASON_STOP });
    expect(sink.text).toBe('A dragon 🐉竜.');
  });

  test('half characters and control characters come as text that can be passed on', async () => {
    const { sink } = ask((response) =>
      begin(response, piece('a\0b'), piece('\ud83d'), piece('c\ud83d'), piece('\u202e\u0007'), last).end(),
    );
    expect((await sink.ended).outcome.type).toBe('finish');
    expect(sink.deltas.every(({ text }) => text.isWellFormed())).toBe(true);
    expect(sink.text).toContain('a\0b');
    expect(sink.text.endsWith('\u202e\u0007')).toBe(true);
  });

  const html = `<html>${SECRET}</html>`;
  test.each<[string, Script, string]>([
    ['a page', (response) => response.writeHead(200, { 'content-type': 'text/html' }).end(html), 'ENGINE_FAILED'],
    ['a page called a stream', (response) => begin(response, html).end(), 'ENGINE_FAILED'],
    [
      'one document',
      (response) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify([SECRET])),
      'ENGINE_FAILED',
    ],
    ['nothing', (response) => begin(response).end(), 'ENGINE_'],
    ['an error page', (response) => response.writeHead(500, { 'content-type': 'text/html' }).end(html), 'ENGINE_'],
    ['what is no HTTP', (response) => response.socket?.end(`${SECRET}\r\n\r\n`), ''],
  ])('%s in place of an answer is a failure in our words, and the next request is answered', async (_what, script, reason) => {
    const { outcome, tokens } = await ask(script).sink.ended;
    expect(outcome).toMatchObject({ type: 'failure', reason: expect.stringMatching(`^${reason}`) });
    expect(JSON.stringify(outcome)).not.toContain(SECRET);
    expect(tokens).toBe(0);
    expect((await ask().sink.ended).outcome.type).toBe('finish');
  });

  test.each<[string, Script, string]>([
    [
      'goes on with what cannot be read',
      (response) => begin(response, piece('a'), sse(`{${SECRET}`), '\n').end(),
      'ENGINE_FAILED',
    ],
    ['ends', (response) => begin(response, piece('a')).end(), 'ENGINE_CRASHED'],
    ['dies', (response) => begin(response, piece('a')).write('', () => response.destroy()), 'ENGINE_CRASHED'],
  ])('a server that %s in the middle has given what came', async (_what, script, reason) => {
    const { sink } = ask(script);
    const { outcome, tokens } = await sink.ended;
    expect(outcome).toMatchObject({ type: 'failure', reason });
    expect(JSON.stringify(outcome)).not.toContain(SECRET);
    expect([tokens, sink.text]).toEqual([1, 'a']);
  });
});
