/** Vectors of texts by /api/embed. */
import { toFault } from '../../../proto/contract/faults.ts';
import type { Embedding } from '../backend.ts';
import { failure } from '../job-run.ts';
import { unitVector } from '../unit-vector.ts';
import { toldBy } from './chunks.ts';
import type { Standing } from './request.ts';
import { durationOf } from './request.ts';
import type { OllamaServer } from './server.ts';

/** Never rejects. */
export async function embedTexts(
  server: OllamaServer,
  { model, keepAlive, runner }: Standing,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Embedding> {
  if (signal.aborted) return CANCELLED;
  try {
    const call = server.begin();
    const cut = () => call.exchange.cut();
    signal.addEventListener('abort', cut, { once: true });
    try {
      // Of a text without a character some releases make no vector at all.
      const input = texts.map((text) => text.toWellFormed() || ' ');
      const answer = await call.client.embed({
        model,
        input,
        truncate: true,
        keep_alive: durationOf(keepAlive),
        options: runner,
      });
      return vectorsIn(answer, texts.length);
    } finally {
      signal.removeEventListener('abort', cut);
      await server.end(call);
    }
  } catch (thrown) {
    const { reason, message } = toFault(thrown);
    return signal.aborted ? CANCELLED : failure(reason, message);
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
