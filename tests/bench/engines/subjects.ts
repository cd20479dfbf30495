/** What a benchmark of engines asks: an engine in a process of its own, or the same engine behind a router and a node. */
import type { Mesh } from '../../../client/index.ts';
import type { Job, LoadOptions, Sink } from '../../../nodes/backends/backend.ts';
import { ChildEngine } from '../../../nodes/engine/child-engine.ts';
import type { BackendName } from '../../../nodes/engine/index.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { MeshOptions } from '../../support/mesh.ts';
import { startMesh } from '../../support/mesh.ts';
import { cpuSeconds, treeCpuSeconds } from '../support/process.ts';

export interface Answered {
  readonly firstMs: number;
  readonly tokens: number;
}

/** Something that answers; greedy, so that the same prompt has the same answer. */
export interface Subject extends AsyncDisposable {
  answer(prompt: string, maxTokens: number): Promise<Answered>;
  /** Processor time of all its processes so far. */
  cpu(): number;
}

/** Something that makes vectors of texts. */
export interface VectorSubject extends AsyncDisposable {
  embed(texts: readonly string[]): Promise<void>;
  cpu(): number;
}

/** The engine as a node runs it, and nothing around it; also those that a node has in its own process get one of theirs. */
export async function startEngine(name: BackendName, options: LoadOptions, outside?: number): Promise<Subject & VectorSubject> {
  const engine = new ChildEngine(name, options);
  await engine.start();
  const { pid = 0 } = engine;
  return {
    answer: (prompt, maxTokens) => answerOf(engine, prompt, maxTokens),
    async embed(texts) {
      const embedding = await engine.embed(texts, new AbortController().signal);
      if (embedding.type === 'failure') throw new Error(embedding.message);
    },
    cpu: () => cpuSeconds(pid) + (outside === undefined ? 0 : cpuSeconds(outside)),
    [Symbol.asyncDispose]: () => engine.dispose(),
  };
}

function answerOf(engine: ChildEngine, prompt: string, maxTokens: number): Promise<Answered> {
  const messages = [{ role: Role.ROLE_USER, text: prompt }];
  const job: Job = { messages, sampling: {}, maxTokens, stop: [], jsonSchema: '' };
  const startedAt = performance.now();
  let firstMs = Number.NaN;
  return new Promise((resolve, reject) => {
    const sink: Sink = {
      prefilling: () => {},
      delta(seq) {
        if (seq === 0) firstMs = performance.now() - startedAt;
      },
      end(outcome, tokens) {
        if (outcome.type === 'failure') reject(new Error(outcome.message));
        else resolve({ firstMs, tokens });
      },
    };
    engine.generate(job, sink);
  });
}

/** @param outside a process that the node's engine is in, where that is none of the mesh */
export async function startEngineMesh(options: MeshOptions, model: string, outside?: number): Promise<Subject & VectorSubject> {
  const mesh = await startMesh(options);
  const pids = [mesh.router.pid, ...mesh.nodes.map(({ pid }) => pid)];
  return {
    answer: (prompt, maxTokens) => meshAnswer(mesh.client, model, prompt, maxTokens),
    async embed(texts) {
      await mesh.client.embed(texts, { model, refresh: true });
    },
    cpu: () => pids.reduce((sum, pid) => sum + treeCpuSeconds(pid), outside === undefined ? 0 : cpuSeconds(outside)),
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}

async function meshAnswer(client: Mesh, model: string, prompt: string, maxTokens: number): Promise<Answered> {
  const startedAt = performance.now();
  let firstMs = Number.NaN;
  for await (const event of client.chat({ model, messages: prompt, maxTokens, cache: { mode: 'bypass' } })) {
    if (event.type === 'delta' && event.seq === 0) firstMs = performance.now() - startedAt;
    if (event.type === 'finished') return { firstMs, tokens: event.usage?.outputTokens ?? 0 };
  }
  throw new Error('the answer has no end');
}
