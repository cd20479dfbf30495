/** One request for vectors, top to bottom: who asks -> bounds -> quota -> cache, else nodes. */
import { checkEmbed, checkVectors } from '../proto/contract/embed-bounds.ts';
import { Code, Fault, toFault } from '../proto/contract/faults.ts';
import type { EmbedRequest, EmbedResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { HOP_MARGIN_MS } from '../proto/transport/deadline.ts';
import type { CallContext } from '../proto/transport/handlers.ts';
import type { RequestObserver } from '../telemetry/events.ts';
import { tokensOf } from './classify/size.ts';
import { budgetOf, newRequestId, watchOf } from './request.ts';
import type { Tally } from './tally.ts';
import type { Callers } from './trust/callers.ts';
import type { Quotas } from './trust/quotas.ts';
import type { Vectors } from './vectors.ts';

const METHOD = 'infermesh.v1.InferenceService/Embed';

export interface EmbeddingParts {
  readonly vectors: Vectors;
  readonly callers: Pick<Callers, 'tenantOf' | 'knownTenant'>;
  readonly quotas: Quotas;
  readonly tally: Tally;
  readonly observer: RequestObserver;
}

/** @throws Fault UNAUTHENTICATED, FORBIDDEN, INVALID_REQUEST, QUOTA_EXCEEDED, MODEL_NOT_FOUND, CANCELLED, or why there are none */
export async function embed(request: EmbedRequest, context: CallContext, parts: EmbeddingParts): Promise<EmbedResponse> {
  const { tally } = parts;
  using _open = tally.request();
  const watch = watchOf(newRequestId(), METHOD, context, parts);
  try {
    const response = await made(request, context, parts, watch.traceparent());
    tally.ended.finished++;
    watch.tell({ type: 'ended', outcome: 'finished', code: Code.OK, tokens: 0, migrations: 0 });
    return response;
  } catch (thrown) {
    const fault = toFault(thrown);
    const outcome = fault.reason === 'CANCELLED' ? 'cancelled' : 'failed';
    tally.ended[outcome]++;
    watch.tell({ type: 'ended', outcome, code: fault.code, reason: fault.reason, tokens: 0, migrations: 0 });
    throw thrown;
  }
}

async function made(
  request: EmbedRequest,
  context: CallContext,
  parts: EmbeddingParts,
  traceparent: string,
): Promise<EmbedResponse> {
  const { vectors, callers, quotas } = parts;
  const tenant = callers.tenantOf(context);
  const { texts, model: wanted, refresh } = checkEmbed(request);
  const budgetMs = budgetOf(context);
  const { signal } = context;
  const whole = budgetMs - Math.min(HOP_MARGIN_MS, budgetMs / 2);
  const deadlineMs = await vectors.ready({ model: wanted, deadlineMs: whole, signal });
  const { model } = vectors;
  if (wanted !== '' && model && wanted !== model.name) {
    throw new Fault('MODEL_NOT_FOUND', 'the embedding model in use is another one', { facts: { model: model.name } });
  }
  if (model) checkVectors(texts.length, model.dimensions);
  const tokens = texts.reduce((sum, text) => sum + tokensOf(text), 0);
  using lease = quotas.enter(tenant, tokens);
  const answer = await vectors.of(texts, { tenant, refresh, deadlineMs, traceparent, signal });
  // What was in the cache has taken none.
  lease.settle(tokens * (1 - answer.cached / texts.length));
  return {
    vectors: answer.vectors.map((vector) => ({ values: [...vector] })),
    model: answer.model.name,
    modelDigest: answer.model.digest,
    dimensions: answer.model.dimensions,
    cached: answer.cached,
  };
}
