/** A node whose model has a LoRA adapter, on real processes. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loraFile } from '../nodes/backends/lora-file.ts';
import { Folder } from '../support/folder.ts';
import { startMember, startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

test('says something else than the model alone, and caches do not take the one for the other', async () => {
  const adapter = join(folder.path, 'adapter.gguf');
  writeFileSync(adapter, loraFile());
  await using mesh = await startMesh({ nodes: [{ id: 'plain' }] });
  const ask = () => mesh.client.ask({ messages: 'Once upon a time', sampling: { temperature: 0 }, maxTokens: 8 });
  const plain = await ask();
  await mesh.nodes[0]?.stop();
  await mesh.addNode({ id: 'adapted', flags: ['--lora', `${adapter}=1`] });
  const adapted = await ask();
  expect(adapted.started.node).toBe('adapted');
  expect(adapted.text).not.toBe(plain.text);
  await expectAtRest(mesh);
});

test('does not start where the adapter is missing, and says which', async () => {
  const adapter = join(folder.path, 'missing.gguf');
  const node = startMember([
    'node',
    '--join',
    '127.0.0.1:1',
    '--token-file',
    folder.file('token', 'x'.repeat(32)),
    '--lora',
    adapter,
  ]);
  const [code] = await once(node.process, 'close');
  expect(code).toBe(1);
  expect(node.output()).toContain(`cannot load ${adapter}: there is no such file`);
});
