/** The example service, as its reader would run it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';

const EXAMPLE = fileURLToPath(new URL('../../client/examples/bedtime.ts', import.meta.url));

let mesh: TestMesh;
beforeAll(async () => {
  mesh = await startMesh();
});
afterAll(() => mesh?.[Symbol.asyncDispose]());

async function withService(use: (url: string) => Promise<void>, router = mesh.address): Promise<void> {
  const service = fork(EXAMPLE, { silent: true, env: { ...process.env, INFERMESH_ROUTER: router, PORT: '0' } });
  try {
    const [line] = (await once(createInterface({ input: service.stdout! }), 'line')) as [string];
    await use(line.match(/http:\/\/\S+/)![0]);
  } finally {
    const gone = once(service, 'exit');
    service.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
  }
}

test('the example service streams a story, piece by piece', () =>
  withService(async (url) => {
    const response = await fetch(`${url}/story?about=a+small+dragon`);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-model')).toBe('stories-15m');
    const pieces: string[] = [];
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(3);
    expect(pieces.join('').length).toBeGreaterThan(100);
  }));

test('a reader that goes away stops the model', () =>
  withService(async (url) => {
    const gone = new AbortController();
    const response = await fetch(`${url}/story`, { signal: gone.signal });
    const reader = response.body!.getReader();
    await reader.read();
    gone.abort();
    await mesh.until((nodes) => nodes.every(({ inFlight }) => inFlight === 0));
    expect((await mesh.client.stats()).requestsCancelled).toBe(1);
  }));

test('the example service says so when there is no mesh', () =>
  withService(async (url) => {
    const response = await fetch(`${url}/story`);
    expect(response.status).toBe(502);
    expect(await response.text()).toContain('ECONNREFUSED');
  }, '127.0.0.1:1'));
