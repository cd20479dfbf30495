/** Vectors of texts by /api/embed. */
import type { Embedding } from '../backend.ts';
import { failure } from '../job-run.ts';
import { unitVector } from '../unit-vector.ts';
import { toldBy } from './chunks.ts';
import { failureFrom, faultFrom } from './faults.ts';
import type { Standing } from './request.ts';
import { durationOf } from './request.ts';
import type { OllamaServer } from './server.ts';

/** Of a text that is still refused when it is as short as that, the length is not the reason. */
const SHORTEST = 16;

/** Never rejects. */
export async function embedTexts(
  server: OllamaServer,
  standing: Standing,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Embedding> {
  if (signal.aborted) return CANCELLED;
  try {
    // Of a text without a character some releases make no vector at all.
    const input = texts.map((text) => text.toWellFormed() || ' ');
    return await cutToFit(input, (part) => read(server, standing, part, signal));
  } catch (thrown) {
    return signal.aborted ? CANCELLED : failureFrom(thrown);
  }
}

/** Ollama is asked to cut what is too long, and refuses some texts all the same: these are halved until they fit. */
async function cutToFit(texts: readonly string[], ask: (texts: readonly string[]) => Promise<Embedding>): Promise<Embedding> {
  try {
    return await ask(texts);
  } catch (thrown) {
    const [first = ''] = texts;
    const tooShort = texts.length === 1 && first.length <= SHORTEST;
    if (faultFrom(thrown).reason !== 'CONTEXT_TOO_LONG' || tooShort) throw thrown;
    if (texts.length === 1) return cutToFit([first.slice(0, first.length / 2).toWellFormed()], ask);
  }
  const vectors: Float32Array[] = [];
  let inputTokens = 0;
  for (const text of texts) {
    const one = await cutToFit([text], ask);
    if (one.type === 'failure') return one;
    vectors.push(...one.vectors);
    inputTokens += one.inputTokens;
  }
  return { type: 'vectors', vectors, inputTokens };
}

/** @throws Fault */
async function read(
  server: OllamaServer,
  { model, keepAlive, runner }: Standing,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Embedding> {
  const call = server.begin();
  const cut = () => call.exchange.cut();
  signal.addEventListener('abort', cut, { once: true });
  if (signal.aborted) cut();
  try {
    const input = [...texts];
    const answer = await call.client.embed({ model, input, truncate: true, keep_alive: durationOf(keepAlive), options: runner });
    return vectorsIn(answer, texts.length);
  } finally {
    signal.removeEventListener('abort', cut);
    await server.end(call);
  }
}

/** @param wanted how many texts there were; nothing of the answer's form is taken for granted */
function vectorsIn(answer: object, wanted: number): Embedding {
  const { embeddings } = answer as { readonly embeddings?: unknown };
  const rows = Array.isArray(embeddings) ? embeddings : [];
  if (rows.length !== wanted) return failure('ENGINE_FAILED', `Ollama gave ${rows.length} vectors of ${wanted} texts`);
  const vectors: Float32Array[] = [];
  for (const row of rows) {
    const vector = Array.isArray(row) ? unitVector(row as number[]) : undefined;
    if (!vector || vector.length !== (vectors[0] ?? vector).length) {
      return failure('ENGINE_FAILED', 'Ollama gave a vector without a direction, or of another length');
    }
    vectors.push(vector);
  }
  return { type: 'vectors', vectors, inputTokens: toldBy(answer).inputTokens ?? 0 };
}

const CANCELLED = failure('CANCELLED', 'cancelled');
