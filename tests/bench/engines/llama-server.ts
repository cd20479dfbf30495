/** llama.cpp's own HTTP server, as whoever has its binary would run it: with defaults, but for what is to be equal. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../support/ports.ts';
import { cpuSeconds, spawnProgram } from '../support/process.ts';
import type { Answered, Subject } from './subjects.ts';

export interface LlamaServerOptions {
  readonly program: string;
  /** Of the model's file. */
  readonly path: string;
  readonly slots: number;
  readonly contextPerSlot: number;
  readonly threads: number;
}

export interface LlamaServer extends Subject {
  readonly url: string;
  readonly pid: number;
}

/** What the server calls its model. */
export const ALIAS = 'borrowed';
const START_LIMIT_MS = 60_000;

export async function startLlamaServer(options: LlamaServerOptions): Promise<LlamaServer> {
  const { program, path, slots, contextPerSlot, threads } = options;
  const port = await freePort();
  const settings = {
    model: path,
    alias: ALIAS,
    host: '127.0.0.1',
    port,
    threads,
    'threads-batch': threads,
    parallel: slots,
    'ctx-size': slots * contextPerSlot,
    'n-gpu-layers': 0,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawnProgram(program, [...flags, '--log-disable']);
  const url = `http://127.0.0.1:${port}`;
  try {
    await healthy(url);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return {
    url,
    pid: server.pid,
    answer: (prompt, maxTokens) => complete(url, prompt, maxTokens),
    cpu: () => cpuSeconds(server.pid),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function healthy(url: string): Promise<void> {
  for (const until = performance.now() + START_LIMIT_MS; performance.now() < until; await pause(100)) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
  }
  throw new Error(`llama-server did not come up within ${START_LIMIT_MS} ms`);
}

/** A stream, as a node gives one; of its events only the last is looked at, so that reading them costs little. */
async function complete(url: string, prompt: string, maxTokens: number): Promise<Answered> {
  const body = { prompt, n_predict: maxTokens, temperature: 0, ignore_eos: true, stream: true };
  const startedAt = performance.now();
  const asked = request(`${url}/completion`, { method: 'POST', agent: false, headers: { 'content-type': 'application/json' } });
  asked.end(JSON.stringify(body));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let firstMs = Number.NaN;
  let last = '';
  for await (const chunk of response) {
    firstMs = Number.isNaN(firstMs) ? performance.now() - startedAt : firstMs;
    last = String(chunk);
  }
  const tokens = Number(/"tokens_predicted":(\d+)/.exec(last)?.[1]);
  if (response.statusCode !== 200 || !(tokens > 0)) throw new Error(`llama-server answered ${response.statusCode}`);
  return { firstMs, tokens };
}
