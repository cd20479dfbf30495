/** LoRA adapters on the bundled model. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import type { Adapter } from '../../../nodes/backends/backend.ts';
import { readAdapter, withAdapters } from '../../../nodes/backends/llama-cpp/lora.ts';
import { LlamaCppBackend } from '../../../nodes/backends/llama-cpp.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { nodeSettings } from '../../../nodes/settings.ts';
import { deliveredAfter, jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import { loraFile } from './lora-file.ts';

const weights = (name: string) => fileURLToPath(new URL(`../../../nodes/models/bundled/${name}`, import.meta.url));
const base = loadOptions({ path: weights('stories-15m-q8_0.gguf') }, 1);
const folder = mkdtempSync(join(tmpdir(), 'infermesh-lora-'));
afterAll(() => rmSync(folder, { recursive: true }));

function adapterFile(name: string, content: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const path = adapterFile('one.gguf', loraFile());

/** The same answer three times: whole, again, and gone on with behind some of its pieces. */
async function answers(adapters: readonly Adapter[]) {
  const backend = new LlamaCppBackend();
  const { tokenizerDigest } = await backend.load({ ...base, adapters }, () => {});
  const ask = async (delivered?: ReturnType<typeof deliveredAfter>) => {
    const sink = new Recorder(delivered?.tokens);
    backend.generate(jobOf('Once upon a time there was a dragon', { maxTokens: 16, delivered }), sink);
    expect((await sink.ended).outcome).toMatchObject({ type: 'finish' });
    return sink;
  };
  const whole = await ask();
  const again = await ask();
  const delivered = deliveredAfter(whole, 7);
  const rest = await ask(delivered);
  await backend.dispose();
  return { text: whole.text, again: again.text, resumed: delivered.text + rest.text, tokenizerDigest };
}

test('an adapter changes the answers, the same each time and when they go on; of scale 0 it changes nothing', async () => {
  const plain = await answers([]);
  const adapted = await answers([{ path, scale: 1 }]);
  expect(await answers([{ path, scale: 0 }])).toEqual(plain);
  expect(adapted.text).not.toBe(plain.text);
  for (const { text, again, resumed } of [plain, adapted]) expect([again, resumed]).toEqual([text, text]);
  expect(adapted.tokenizerDigest).toBe(plain.tokenizerDigest);
});

test('a model has another digest with each adapter and scale, and the same with the same', async () => {
  const other = adapterFile('other.gguf', loraFile({ seed: 2 }));
  const moved = adapterFile('moved.gguf', loraFile());
  const digestOf = async (...adapters: Adapter[]) => (await withAdapters(base.model, adapters)).digest;
  const all = await Promise.all([
    digestOf(),
    digestOf({ path, scale: 1 }),
    digestOf({ path, scale: 0.5 }),
    digestOf({ path: other, scale: 1 }),
    digestOf({ path, scale: 1 }, { path: other, scale: 1 }),
  ]);
  expect(all[0]).toBe(base.model.digest);
  expect(new Set(all).size).toBe(all.length);
  expect(await digestOf({ path: moved, scale: 1 })).toBe(all[1]);
  expect(all[1]).toMatch(/^sha256:[0-9a-f]{64}$/);
});

test('what it takes is counted with the model', async () => {
  const { sizeBytes } = await withAdapters({ ...base.model, sizeBytes: 1000 }, [{ path, scale: 1 }]);
  expect(sizeBytes).toBe(1000 + 6 * 2 * 2 * 4 * 288 * 4);
});

test.each([
  ['is missing', join(folder, 'nowhere.gguf'), /nowhere\.gguf: there is no such file/],
  [
    'is something else',
    adapterFile('page.gguf', Buffer.from('<html>not found</html>'.repeat(9))),
    /page\.gguf: .*not a GGUF file/,
  ],
  ['is a whole model', weights('stories-15m-q8_0.gguf'), /it is no LoRA adapter/],
  [
    'is for another architecture',
    adapterFile('qwen.gguf', loraFile({ architecture: 'qwen2' })),
    /it is for models of the architecture qwen2, and under-test is of llama/,
  ],
])('an adapter that %s is refused by name', async (_, file, message) => {
  await expect(withAdapters(base.model, [{ path: file, scale: 1 }])).rejects.toMatchObject({
    reason: 'ENGINE_FAILED',
    message: expect.stringMatching(message),
  });
});

test('an adapter of another model of the same architecture is refused when it is loaded', async () => {
  const wide = { path: adapterFile('wide.gguf', loraFile({ width: 320 })), scale: 1 };
  const engine = createEngine('llama-cpp', { ...base, adapters: [wide] });
  await expect(engine.start()).rejects.toMatchObject({
    reason: 'ENGINE_FAILED',
    message: expect.stringMatching(/wide\.gguf.*incorrect shape/),
  });
  await engine.dispose();
});

test('a model that makes vectors takes none', async () => {
  await expect(withAdapters({ ...base.model, tasks: ['embed'] }, [{ path, scale: 1 }])).rejects.toMatchObject({
    reason: 'INVALID_REQUEST',
  });
});

test.each([
  ['/a/b.gguf', { path: '/a/b.gguf', scale: 1 }],
  ['/a/b.gguf=0.25', { path: '/a/b.gguf', scale: 0.25 }],
  ['/a/b=c.gguf=-2', { path: '/a/b=c.gguf', scale: -2 }],
  ['/a/b=c.gguf', { path: '/a/b=c.gguf', scale: 1 }],
  ['/a/b.gguf=11', undefined],
  ['', undefined],
])('%j is read as %j', (text, adapter) => {
  expect(readAdapter(text)).toEqual(adapter);
});

test.each([
  [{ lora: '/a.gguf=12' }, /--lora.* a scale from -10 to 10/],
  [{ lora: '/a.gguf', engine: 'replay', model: 'canned' }, /--lora is for the llama-cpp engine, and canned has replay/],
  [{ lora: '/a.gguf', model: 'stories-15m,all-minilm-l6-v2' }, /--lora is for one model, and there are 2: use --models-file/],
])('a node is not started with %j', (flags, message) => {
  expect(() => nodeSettings({ flags: { tokenFile: 'token', ...flags }, env: {} })).toThrow(message);
});

test('a node takes several for its model', () => {
  const { models } = nodeSettings({ flags: { tokenFile: 'token', lora: '/a.gguf=0.5,/b.gguf' }, env: {} });
  expect(models[0]?.lora).toEqual(['/a.gguf=0.5', '/b.gguf']);
});
