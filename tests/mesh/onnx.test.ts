/** Vectors for clients by ONNX Runtime, on real processes. */
import { once } from 'node:events';
import { mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { engineReport } from '../../nodes/engine/report.ts';
import { dot } from '../contract/embeddings.ts';
import { writeCatalogue } from '../support/catalogue.ts';
import { Folder } from '../support/folder.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMember, startMesh } from '../support/mesh.ts';
import { writeMiniLm } from '../support/onnx/minilm.ts';
import { labelled, perText, writeSmall } from '../support/onnx/small.ts';
import { expectAtRest } from './rest.ts';

const installed = (await engineReport()).some(({ engine, available }) => engine === 'onnx' && available);
if (!installed) test.skip('ONNX Runtime is an optional package, and it is not installed here');

describe.runIf(installed)('a node with an ONNX file of the operator', () => {
  const folder = new Folder();
  let path: string;
  let mesh: TestMesh;

  beforeAll(async () => {
    const model = join(folder.path, 'our-minilm');
    mkdirSync(model);
    path = await writeMiniLm(model);
    mesh = await startMesh({ nodes: [{ id: 'by-onnx', engine: 'onnx', model: `file:${path}`, slots: 2 }] });
  });
  afterEach(() => expectAtRest(mesh));
  afterAll(async () => {
    await mesh?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test('makes vectors that are near each other where texts mean the same, under the name of its folder', async () => {
    const texts = ['How do I reset my password?', 'I forgot my password, what now?', 'The weather in Lisbon is mild.'];
    const { model, dimensions, vectors } = await mesh.client.embed(texts);
    expect({ model, dimensions }).toEqual({ model: 'our-minilm', dimensions: 384 });
    const [one, same, other] = vectors as [Float32Array, Float32Array, Float32Array];
    expect(dot(one, same)).toBeGreaterThan(dot(one, other) + 0.3);
    const [node] = await mesh.client.nodes();
    expect(node?.models).toMatchObject([{ engine: 'onnx', tasks: ['embed'], contextLength: 512 }]);
  });

  test('makes those of several requests at the same time, each in its order', async () => {
    const texts = (request: number) => Array.from({ length: 40 }, (_, i) => `text ${i} of request ${request}`);
    const all = await Promise.all([1, 2, 3].map((request) => mesh.client.embed(texts(request), { refresh: true })));
    const [alone] = (await mesh.client.embed(['text 17 of request 2'], { refresh: true })).vectors;
    expect(dot(all[1]?.vectors[17] as Float32Array, alone as Float32Array)).toBeCloseTo(1, 5);
    expect(new Set(all.flatMap(({ vectors }) => vectors.map((vector) => vector.join()))).size).toBe(120);
  });

  test('makes vectors again after its engine was killed', async () => {
    const [member] = mesh.nodes;
    const engine = () => Number(readFileSync(`/proc/${member?.pid}/task/${member?.pid}/children`, 'utf8'));
    const killed = engine();
    process.kill(killed, 'SIGKILL');
    await expect.poll(() => engine() > 0 && engine() !== killed, { timeout: 15_000 }).toBe(true);
    const again = () =>
      mesh.client.embed(['once more'], { refresh: true }).then(
        ({ vectors }) => vectors.length,
        () => 0,
      );
    await expect.poll(again, { timeout: 15_000 }).toBe(1);
  });

  test('stands beside one whose model tells classes, which answers those who name it and nobody else', async () => {
    const source = `file:${writeSmall(join(folder.path, 'intents'), { build: perText, files: labelled() })}`;
    const catalogue = writeCatalogue(join(folder.path, 'ours.yaml'), { name: 'intents', source, tasks: ['classify'] });
    const node = await mesh.addNode({ model: 'intents', env: { INFERMESH_CATALOGUE: catalogue } });
    const { text, finished } = await mesh.client.ask({ messages: 'green and blue', model: 'intents' });
    expect(JSON.parse(text)).toMatchObject({ label: 'shipping', score: expect.closeTo(0.9756, 3) });
    expect(finished.usage).toMatchObject({ inputTokens: 3, outputTokens: 1 });
    await expect(mesh.client.ask({ messages: 'green and blue' })).rejects.toMatchObject({
      reason: 'NO_NODE',
    });
    await node.stop();
  });

  test('ends with a sentence that says what to do where the file is cut short', async () => {
    const cut = join(folder.path, 'cut');
    mkdirSync(cut);
    const short = await writeMiniLm(cut);
    truncateSync(short, 1_000_000);
    const flags = ['--join', mesh.address, '--token-file', mesh.tokenFile, '--id', 'broken'];
    const node = startMember(['node', ...flags, '--model', `file:${short}`]);
    const [code] = await once(node.process, 'close');
    expect(code).toBe(1);
    expect(node.output()).toMatch(/infermesh: .*model\.onnx.*fetch it again/);
  });
});
