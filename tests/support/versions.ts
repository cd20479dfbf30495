/** A folder of models with two versions of one: the bundled model, and the same with another name within. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundledPath } from '../../nodes/models/sources/file.ts';

export interface Versions extends Disposable {
  readonly model: string;
  /** NAME@DIGITS of the two. */
  readonly names: readonly [string, string];
  /** Of the two, as sha256:HEX. */
  readonly digests: readonly [string, string];
  /** For a node that is to find them. */
  readonly env: NodeJS.ProcessEnv;
}

const ENTRY = {
  title: 'Stories in two versions',
  family: 'llama',
  parameters: 15.2e6,
  quantization: 'Q8_0',
  licence: 'MIT',
  commercial_use: true,
  context_length: 256,
  tier: 'fast',
  tasks: ['story'],
  memory_bytes: 0.25e9,
};

export function twoVersions(model = 'tales'): Versions {
  const root = mkdtempSync(join(tmpdir(), 'infermesh-versions-'));
  const first = readFileSync(bundledPath('stories-15m-q8_0.gguf'));
  const second = Buffer.from(first);
  second.write('V', first.indexOf('stories15M') + 'stories15'.length);
  const place = join(root, 'models', model);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const hashes = [first, second].map((weights) => {
    const hash = createHash('sha256').update(weights).digest('hex');
    writeFileSync(join(place, `sha256-${hash}.gguf`), weights);
    return hash;
  }) as [string, string];
  // It is fetched from nowhere: its weights are here. JSON is YAML.
  const source = 'hf:example/stories/stories.gguf';
  writeFileSync(join(root, 'catalogue.yaml'), JSON.stringify({ models: [{ name: model, ...ENTRY, source }] }));
  return {
    model,
    names: hashes.map((hash) => `${model}@${hash.slice(0, 12)}`) as [string, string],
    digests: hashes.map((hash) => `sha256:${hash}`) as [string, string],
    env: { INFERMESH_MODELS: join(root, 'models'), INFERMESH_CATALOGUE: join(root, 'catalogue.yaml') },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}
