/** Texts a second of the engines that make vectors, directly and through the mesh. */
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ModelSpec } from '../../../nodes/backends/backend.ts';
import type { BackendName } from '../../../nodes/engine/index.ts';
import { engineReport } from '../../../nodes/engine/report.ts';
import { EMBED_TASK } from '../../../proto/contract/embedding.ts';
import { Folder } from '../../support/folder.ts';
import type { NodeOptions } from '../../support/mesh.ts';
import { writeMiniLm } from '../../support/onnx/minilm.ts';
import { median } from '../report.ts';
import { SLOTS } from './answers.ts';
import { inTurns, prompts } from './measure.ts';
import type { VectorSubject } from './subjects.ts';
import { startEngine, startEngineMesh } from './subjects.ts';

const TEXTS = 48;

interface Contender {
  readonly name: BackendName;
  readonly model: ModelSpec;
  readonly node: NodeOptions;
}

/** @param model all-minilm-l6-v2, of which the onnx engine gets the same weights */
export async function vectors(model: ModelSpec, threads: number, rounds: number): Promise<Record<string, number>> {
  using folder = new Folder();
  const canned = { ...model, name: 'canned-vectors', path: 'replay:embed=384', tasks: [EMBED_TASK] };
  const contenders: Contender[] = [
    { name: 'llama-cpp', model, node: { model: model.name } },
    { name: 'replay', model: canned, node: { engine: 'replay', model: canned.name, replay: 'embed=384' } },
  ];
  if ((await engineReport()).some(({ engine, available }) => engine === 'onnx' && available)) {
    contenders.push(await onnx(model, join(folder.path, 'minilm')));
  }
  const figures: Record<string, number> = {};
  for (const contender of contenders) Object.assign(figures, await compared(contender, threads, rounds));
  return figures;
}

async function onnx(model: ModelSpec, folder: string): Promise<Contender> {
  mkdirSync(folder);
  const path = await writeMiniLm(folder);
  return { name: 'onnx', model: { ...model, name: basename(folder), path }, node: { engine: 'onnx', model: `file:${path}` } };
}

async function compared({ name, model, node }: Contender, threads: number, count: number) {
  await using direct = await startEngine(name, { model, slots: SLOTS, threads, gpuLayers: 0 });
  await using mesh = await startEngineMesh({ nodes: [{ threads, slots: SLOTS, ...node }] }, model.name);
  const rates: Record<'direct' | 'mesh', number[]> = { direct: [], mesh: [] };
  for (let round = 0; round < count; round++) {
    for (const way of inTurns(['direct', 'mesh'] as const, round)) rates[way].push(await rate(way === 'mesh' ? mesh : direct));
    process.stderr.write(`vectors by ${name}, round ${round + 1}\n`);
  }
  const figure = name.replaceAll('-', '_');
  return {
    [`${figure}_direct_texts_per_s`]: median(rates.direct),
    [`${figure}_mesh_texts_per_s`]: median(rates.mesh),
  };
}

async function rate(subject: VectorSubject): Promise<number> {
  const texts = prompts(TEXTS);
  const startedAt = performance.now();
  await subject.embed(texts);
  return (TEXTS * 1000) / (performance.now() - startedAt);
}
