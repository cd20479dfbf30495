/** Texts a second of the engines that make vectors, directly and through the mesh. */
import type { ModelSpec } from '../../../nodes/backends/backend.ts';
import type { BackendName } from '../../../nodes/engine/index.ts';
import { EMBED_TASK } from '../../../proto/contract/embedding.ts';
import type { NodeOptions } from '../../support/mesh.ts';
import { median } from '../report.ts';
import { SLOTS } from './answers.ts';
import { inTurns, prompts } from './measure.ts';
import type { VectorSubject } from './subjects.ts';
import { startEngine, startEngineMesh } from './subjects.ts';

const TEXTS = 48;

export async function vectors(model: ModelSpec, threads: number, rounds: number): Promise<Record<string, number>> {
  const canned = { ...model, name: 'canned-vectors', path: 'replay:embed=384', tasks: [EMBED_TASK] };
  return {
    ...(await compared('llama-cpp', model, { model: model.name, threads, slots: SLOTS }, threads, rounds)),
    ...(await compared(
      'replay',
      canned,
      { engine: 'replay', model: canned.name, replay: 'embed=384', slots: SLOTS },
      threads,
      rounds,
    )),
  };
}

async function compared(name: BackendName, model: ModelSpec, node: NodeOptions, threads: number, count: number) {
  await using direct = await startEngine(name, { model, slots: SLOTS, threads, gpuLayers: 0 });
  await using mesh = await startEngineMesh({ nodes: [node] }, model.name);
  const rates: Record<'direct' | 'mesh', number[]> = { direct: [], mesh: [] };
  for (let round = 0; round < count; round++) {
    for (const way of inTurns(['direct', 'mesh'] as const, round)) rates[way].push(await rate(way === 'mesh' ? mesh : direct));
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
