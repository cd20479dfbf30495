/** InferenceService: each call is a journey. */
import {
  ChatRequest,
  EmbedRequest,
  EmbedResponse,
  ExplainRequest,
  ExplainResponse,
  FeedbackRequest,
  FeedbackResponse,
  ResumeRequest,
} from '../../proto/gen/infermesh/v1/inference.ts';
import { serverStream, unary } from '../../proto/transport/handlers.ts';
import type { Handler } from '../../proto/transport/server.ts';
import type { Batches } from '../batch/batches.ts';
import type { EmbeddingParts } from '../embedding.ts';
import { embed } from '../embedding.ts';
import type { Journey } from '../journey.ts';

export function inferenceHandlers(journey: Journey, embedding: EmbeddingParts, batches: Batches): Record<string, Handler> {
  const { callers } = embedding;
  return {
    chat: serverStream(ChatRequest, 'ChatRequest', (request, stream, context) => journey.chat(request, stream, context)),
    // What it sends has on the wire the form of ResumeResponse.
    resume: serverStream(ResumeRequest, 'ResumeRequest', (request, stream, context) => {
      // It is looked at before its journey begins, which asks who calls.
      callers.tenantOf(context);
      return journey.resume(request, stream, context);
    }),
    explain: unary(ExplainRequest, ExplainResponse, 'ExplainRequest', ({ chat }, context) =>
      journey.explain(chat ?? ChatRequest.create(), context),
    ),
    feedback: unary(FeedbackRequest, FeedbackResponse, 'FeedbackRequest', (request, context) => {
      callers.tenantOf(context);
      return { reward: journey.feedback(request) };
    }),
    batch: { kind: 'exchange', handle: (requests, stream, context) => batches.serve(requests, stream, context) },
    embed: unary(EmbedRequest, EmbedResponse, 'EmbedRequest', (request, context) => embed(request, context, embedding)),
  };
}
