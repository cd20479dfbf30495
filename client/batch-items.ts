/** A batch as a program writes it and reads what became of it, and the messages in between. Pure. */
import { checkItemId } from '../proto/contract/batch-bounds.ts';
import { Fault } from '../proto/contract/faults.ts';
import { faultNamed } from '../proto/contract/status.ts';
import type { BatchResponse } from '../proto/gen/infermesh/v1/inference.ts';
import { BatchRequest } from '../proto/gen/infermesh/v1/inference.ts';
import type { Embeddings, EmbedInput } from './embed.ts';
import { embeddingsOf, embedRequest } from './embed.ts';
import type { Answer } from './events.ts';
import type { ChatInput } from './request.ts';
import { chatRequest } from './request.ts';

/** By which its outcome is known: 1 to 128 printable ASCII characters, once in a batch. */
interface Identified {
  readonly id: string;
}

/** A chat, or texts to make vectors of. A chat is of low priority unless it says otherwise. */
export type BatchItem = Identified & (ChatInput | EmbedInput);

export type BatchOutcome = Identified &
  (
    | ({ readonly type: 'answer' } & Answer)
    | ({ readonly type: 'embeddings' } & Embeddings)
    /** Why it has neither, as the call alone would have thrown. */
    | { readonly type: 'failed'; readonly fault: Fault }
  );

/** @throws Fault INVALID_REQUEST, as the router would */
export function batchRequest(item: BatchItem): BatchRequest {
  const { id, ...input } = item;
  checkItemId(id);
  return BatchRequest.fromPartial({
    id,
    item:
      'texts' in input
        ? { $case: 'embed', value: embedRequest(input) }
        : { $case: 'chat', value: chatRequest(input as ChatInput) },
  });
}

export function outcomeOf({ id, outcome }: BatchResponse): BatchOutcome {
  switch (outcome?.$case) {
    case 'answer': {
      const { text, started, finished } = outcome.value;
      if (!started || !finished) break;
      return { type: 'answer', id, text, started: { type: 'started', ...started }, finished: { type: 'finished', ...finished } };
    }
    case 'embed':
      return { type: 'embeddings', id, ...embeddingsOf(outcome.value) };
    case 'failure':
      return failed(id, faultNamed(outcome.value));
  }
  return failed(id, new Fault('INTERNAL', 'an outcome came that is none'));
}

export function failed(id: string, fault: Fault): BatchOutcome {
  return { type: 'failed', id, fault };
}
