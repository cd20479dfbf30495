/** The mesh as clients see it that know nothing but the .proto, whichever way the router writes its tokens. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ClientReadableStream, GrpcObject, ServiceClientConstructor, ServiceError } from '@grpc/grpc-js';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { replayText } from '../../nodes/backends/replay.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const run = promisify(execFile);
const PROTO = fileURLToPath(new URL('../../proto', import.meta.url));
const BUF = createRequire(import.meta.url).resolve('@bufbuild/buf/bin/buf');

interface ChatEvent {
  readonly started?: { readonly request_id: string; readonly node: string; readonly model: string };
  readonly delta?: { readonly seq: number; readonly tokens: number; readonly text: string };
  readonly finished?: { readonly reason: string; readonly usage: { readonly output_tokens: number } };
}

/** A client made at run time of the .proto files alone. */
function bareClient(address: string, service: string, file = 'infermesh/v1/inference.proto') {
  const definition = loadSync(file, { includeDirs: [PROTO], keepCase: true, longs: Number, enums: String, defaults: true });
  const path = service.split('.');
  const Service = path.reduce<GrpcObject>((at, name) => at[name] as GrpcObject, loadPackageDefinition(definition));
  return new (Service as unknown as ServiceClientConstructor)(address, credentials.createInsecure());
}

async function chat(client: ReturnType<typeof bareClient>, request: object): Promise<ChatEvent[]> {
  const call = (client.Chat as (request: object) => ClientReadableStream<ChatEvent>).call(client, request);
  const events: ChatEvent[] = [];
  for await (const event of call as AsyncIterable<ChatEvent>) events.push(event);
  return events;
}

const textOf = (events: readonly ChatEvent[]) => events.map(({ delta }) => delta?.text ?? '').join('');

describe.each(['http2', 'grpc-js'] as const)('with the writer %s', (writer) => {
  let mesh: TestMesh;
  let client: ReturnType<typeof bareClient>;

  beforeAll(async () => {
    mesh = await startMesh({
      routerFlags: ['--writer', writer],
      nodes: [
        { engine: 'replay', model: 'canned', replay: 'rate=0' },
        { engine: 'replay', model: 'paced', replay: 'rate=100' },
      ],
    });
    client = bareClient(mesh.address, 'infermesh.v1.InferenceService');
  });
  afterEach(() => expectAtRest(mesh));
  afterAll(async () => {
    client.close();
    await mesh[Symbol.asyncDispose]();
  });

  const ask = (text: string, more = {}) => ({
    messages: [{ role: 'ROLE_USER', text }],
    model: 'canned',
    max_tokens: 40,
    ...more,
  });

  it('a chat is started, deltas without a gap, finished', async () => {
    const events = await chat(client, ask('hello'));
    expect(events[0]?.started).toMatchObject({ model: 'canned', node: 'node-1' });
    const deltas = events.slice(1, -1).map(({ delta }) => delta!);
    let next = 0;
    for (const { seq, tokens } of deltas) {
      expect(seq).toBe(next);
      next = seq + tokens;
    }
    expect(next).toBe(40);
    expect(events.at(-1)?.finished).toMatchObject({ reason: 'FINISH_REASON_LENGTH', usage: { output_tokens: 40 } });
  });

  it.each(['hello', 'naïve 森 雨 🐉🌧️', '\u0000 \u{10ffff}', 'e\u0301 \u200d'])(
    'every byte of an answer arrives: %j',
    async (text) => {
      const events = await chat(client, ask(text, { max_tokens: 2000 }));
      expect(textOf(events)).toBe(replayText([{ role: 2, text }], 2000));
      for (const { delta } of events) expect(delta?.text.isWellFormed() ?? true).toBe(true);
    },
  );

  it('a long answer arrives whole, past any window of credit', async () => {
    const events = await chat(client, ask('long', { max_tokens: 60_000 }));
    expect(textOf(events)).toBe(replayText([{ role: 2, text: 'long' }], 60_000));
  });

  it('tokens arrive one by one, as they are made', async () => {
    const call = (client.Chat as (request: object) => ClientReadableStream<ChatEvent>).call(
      client,
      ask('paced', { model: 'paced', max_tokens: 30 }),
    );
    const arrivals: number[] = [];
    for await (const { delta } of call as AsyncIterable<ChatEvent>) if (delta) arrivals.push(performance.now());
    expect(arrivals.length).toBeGreaterThan(10);
    expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(200);
  });

  it('stop strings end the answer before them', async () => {
    const whole = replayText([{ role: 2, text: 'hello' }], 40);
    const word = whole.split(' ')[10]!;
    const events = await chat(client, ask('hello', { stop: [` ${word}`] }));
    expect(textOf(events)).toBe(whole.slice(0, whole.indexOf(` ${word}`)));
    expect(events.at(-1)?.finished?.reason).toBe('FINISH_REASON_STOP_STRING');
  });

  it('a lone surrogate, which such a client sends as it is, is refused and nothing breaks', async () => {
    await expect(chat(client, ask('cut \ud83d short'))).rejects.toMatchObject({
      code: 3,
      details: expect.stringContaining('must be valid UTF-8'),
    });
    expect(await chat(client, ask('hello'))).not.toHaveLength(0);
  });

  it('Explain tells what Chat would choose', async () => {
    const answer = await new Promise<{ candidates: { model: string; chosen: boolean; exclusion: string }[] }>((resolve, reject) =>
      client.Explain!({ chat: ask('hello') }, (error: ServiceError | null, response: never) =>
        error ? reject(error) : resolve(response),
      ),
    );
    expect(answer.candidates.map(({ model, chosen }) => [model, chosen])).toEqual([
      ['canned', true],
      ['paced', false],
    ]);
    expect(answer.candidates[1]?.exclusion).toContain('another model was asked for');
  });

  it('the services are found, and a chat is streamed, by reflection alone', async () => {
    const curl = (...args: string[]) => run(BUF, ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', ...args]);
    const { stdout: services } = await curl('--list-services', `http://${mesh.address}`);
    for (const name of ['InferenceService', 'AdminService', 'CacheService', 'LinkService'])
      expect(services).toContain(`infermesh.v1.${name}`);
    const data = JSON.stringify({ messages: [{ role: 'ROLE_USER', text: 'hello' }], model: 'canned', maxTokens: 10 });
    const { stdout } = await curl('-d', data, `http://${mesh.address}/infermesh.v1.InferenceService/Chat`);
    const events = stdout
      .trim()
      .split(/\n(?=\{)/)
      .map((text) => JSON.parse(text) as ChatEvent);
    expect(textOf(events)).toBe(replayText([{ role: 2, text: 'hello' }], 10));
    expect(events.at(-1)?.finished?.reason).toBe('FINISH_REASON_LENGTH');
  });

  it('health is told of the server and of each service', async () => {
    const file = createRequire(import.meta.url).resolve('grpc-health-check/proto/health/v1/health.proto');
    const health = bareClient(mesh.address, 'grpc.health.v1.Health', file);
    const check = (service: string) =>
      new Promise((resolve) =>
        health.Check!({ service }, (error: ServiceError | null, response: { status: string }) =>
          resolve(error?.code ?? response.status),
        ),
      );
    for (const service of [
      '',
      ...['InferenceService', 'AdminService', 'CacheService', 'LinkService'].map((name) => `infermesh.v1.${name}`),
    ]) {
      expect(await check(service)).toBe('SERVING');
    }
    expect(await check('no.such.Service')).toBe(5);
    health.close();
  });
});

describe('the real model', () => {
  let mesh: TestMesh;

  beforeAll(async () => {
    mesh = await startMesh();
  });
  afterEach(() => expectAtRest(mesh));
  afterAll(() => mesh[Symbol.asyncDispose]());

  const story = (more = {}) => mesh.client.ask({ messages: 'Once upon a time', maxTokens: 40, ...more });

  it('answers alike with the same seed and otherwise with another', async () => {
    const sampling = (seed: number) => ({ sampling: { temperature: 1, seed } });
    const [a, b, c] = [await story(sampling(1)), await story(sampling(1)), await story(sampling(2))];
    expect(a.text).toBe(b.text);
    expect(a.text).not.toBe(c.text);
    expect(a.finished.usage).toMatchObject({ outputTokens: 40 });
    expect(a.finished.usage?.inputTokens).toBeGreaterThan(2);
  });

  it('stops before a stop string', async () => {
    const { text } = await story({ sampling: { temperature: 0 } });
    const stop = text.split(' ').at(5)!;
    const cut = await story({ sampling: { temperature: 0 }, stop: [stop] });
    expect(text.startsWith(cut.text)).toBe(true);
    expect(cut.text).not.toContain(stop);
    expect(cut.finished.reason).toBe(2);
  });

  it('holds its answer to a JSON schema', async () => {
    const jsonSchema = {
      type: 'object',
      properties: { name: { enum: ['Lily', 'Tom'] }, brave: { type: 'boolean' } },
      required: ['name', 'brave'],
      additionalProperties: false,
    };
    const { text, finished } = await story({ jsonSchema, maxTokens: 60 });
    const value = JSON.parse(text) as { name: string; brave: boolean };
    expect(['Lily', 'Tom']).toContain(value.name);
    expect(value.brave).toBeTypeOf('boolean');
    expect(finished.reason).toBe(1);
  });

  it('ends at its context with LENGTH', async () => {
    const { finished } = await story({ maxTokens: 5000, sampling: { temperature: 1, seed: 3 } });
    expect((finished.usage?.inputTokens as number) + (finished.usage?.outputTokens as number)).toBeLessThanOrEqual(256);
  });

  it('gives 16 streams at once on 4 slots all to their end', async () => {
    const all = await Promise.all(Array.from({ length: 16 }, (_, seed) => story({ sampling: { temperature: 1, seed } })));
    expect(all.map(({ finished }) => finished.usage?.outputTokens)).toEqual(Array<number>(16).fill(40));
  });
});
