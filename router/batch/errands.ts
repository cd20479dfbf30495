/** The items of a batch, each done as the call alone would be: by the journey of a chat, or an embed. */
import type { Fault } from '../../proto/contract/faults.ts';
import { toFault } from '../../proto/contract/faults.ts';
import type { CallContext } from '../../proto/transport/handlers.ts';
import type { EmbeddingParts } from '../embedding.ts';
import { embed } from '../embedding.ts';
import type { Journey } from '../journey.ts';
import { Collector } from './collector.ts';
import type { Item } from './items.ts';
import type { Outcome } from './outcome.ts';

/** One item that is being done. */
export interface Errand {
  /** @throws Fault why there is none */
  readonly outcome: Promise<Outcome>;
  /** Nobody waits for it any more; `outcome` hears of it. */
  cancel(): void;
}

export type Runnable = Exclude<Item, { type: 'refused' }>;
/** Begins an item. */
export type Begin = (item: Runnable, context: CallContext) => Errand;

export interface ErrandsParts {
  readonly journey: Pick<Journey, 'chat'>;
  readonly embedding: EmbeddingParts;
  /** Takes what went wrong here rather than with the item. */
  readonly onDefect: (method: string, fault: Fault) => void;
}

const METHOD = '/infermesh.v1.InferenceService/Batch';

export function errands({ journey, embedding, onDefect }: ErrandsParts): Begin {
  const faultOf = (thrown: unknown) => {
    const fault = toFault(thrown);
    if (fault.reason === 'INTERNAL') onDefect(METHOD, fault);
    return fault;
  };
  return (item, context) => {
    if (item.type === 'embed') {
      const leave = new AbortController();
      const made = embed(item.embed, { ...context, signal: leave.signal }, embedding);
      const outcome = made.then(
        (value): Outcome => ({ $case: 'embed', value }),
        (thrown: unknown) => {
          throw faultOf(thrown);
        },
      );
      return { outcome, cancel: () => leave.abort() };
    }
    const collector = new Collector();
    journey.chat(item.chat, collector, context).catch((thrown: unknown) => collector.fail(faultOf(thrown)));
    return { outcome: collector.outcome, cancel: () => collector.onGone() };
  };
}
