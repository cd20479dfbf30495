/** What became of an item, as a line of a batch's outcomes, in the form in which it was asked for. */
import type { BatchOutcome } from '../../client/index.ts';
import { FinishReason } from '../../client/index.ts';
import { finishReasonName } from '../output/names.ts';
import type { Form } from './request-line.ts';

/** @param at seconds since 1970 */
export function outcomeLine(outcome: BatchOutcome, form: Form, at: number): object {
  return form === 'own' ? ownLine(outcome) : openAiLine(outcome, at);
}

/** The id of a line that was written before, and whether the item was answered; undefined for another kind of line. */
export function readOutcome(
  line: Readonly<Record<string, unknown>>,
): { readonly id: string; readonly isAnswer: boolean } | undefined {
  if (typeof line.custom_id === 'string' && 'response' in line) return { id: line.custom_id, isAnswer: line.error === null };
  if (typeof line.id !== 'string') return undefined;
  if ('error' in line) return { id: line.id, isAnswer: false };
  return 'finish_reason' in line || 'vectors' in line ? { id: line.id, isAnswer: true } : undefined;
}

function ownLine(outcome: BatchOutcome): object {
  const { id } = outcome;
  switch (outcome.type) {
    case 'failed': {
      const { reason, code, message, violations } = outcome.fault;
      return { id, error: { reason, code, message, ...(violations.length > 0 ? { violations } : {}) } };
    }
    case 'embeddings': {
      const { vectors, model, modelDigest, dimensions, cached } = outcome;
      return { id, vectors: vectors.map((vector) => [...vector]), model, model_digest: modelDigest, dimensions, cached };
    }
    case 'answer': {
      const { text, started, finished } = outcome;
      return {
        id,
        text,
        finish_reason: finishReasonName(finished.reason),
        model: started.model,
        node: started.node,
        request_id: started.requestId,
        usage: { input_tokens: finished.usage?.inputTokens ?? 0, output_tokens: finished.usage?.outputTokens ?? 0 },
        cost_usd: finished.cost?.usd ?? 0,
        cached: finished.cached !== undefined,
      };
    }
  }
}

/** As OpenAI's batches have it. */
function openAiLine(outcome: BatchOutcome, at: number): object {
  const custom_id = outcome.id;
  if (outcome.type === 'failed') {
    const { reason, message } = outcome.fault;
    return { id: `batch_req_${custom_id}`, custom_id, response: null, error: { code: reason, message } };
  }
  const body = outcome.type === 'answer' ? completion(outcome, at) : embeddings(outcome);
  const request_id = outcome.type === 'answer' ? outcome.started.requestId : '';
  return { id: `batch_req_${custom_id}`, custom_id, response: { status_code: 200, request_id, body }, error: null };
}

function completion({ text, started, finished }: Extract<BatchOutcome, { type: 'answer' }>, created: number): object {
  const { inputTokens = 0, outputTokens = 0 } = finished.usage ?? {};
  const finish_reason = finished.reason === FinishReason.FINISH_REASON_LENGTH ? 'length' : 'stop';
  return {
    id: `chatcmpl-${started.requestId}`,
    object: 'chat.completion',
    created,
    model: started.model,
    choices: [{ index: 0, message: { role: 'assistant', content: text, refusal: null }, logprobs: null, finish_reason }],
    usage: { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens },
  };
}

function embeddings({ vectors, model }: Extract<BatchOutcome, { type: 'embeddings' }>): object {
  const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: [...vector] }));
  return { object: 'list', data, model };
}
