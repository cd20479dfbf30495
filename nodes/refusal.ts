/** Why a node does not take a piece of work. Pure. */
import { embedsOnly, MOST_EMBED_TEXTS } from '../proto/contract/embedding.ts';
import { Fault } from '../proto/contract/faults.ts';
import type { Embed, Work } from '../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../proto/gen/infermesh/v1/types.ts';
import type { Delivered } from './backends/backend.ts';
import { failure } from './backends/job-run.ts';
import { shuttingDown } from './shelf/faults.ts';

export interface Standing {
  readonly draining: boolean;
  /** What the node announces by the name that is asked for; undefined where it knows no such model. */
  readonly model: ServedModel | undefined;
  /** It is in memory, and does not leave. */
  readonly resident: boolean;
  /** Memory is so short that nothing new is taken. */
  readonly sheds: boolean;
  /** Of the model, assignments of all routers whose engine has not stopped. */
  readonly taken: number;
}

/** Assignments that may wait for a slot: two routers that chose at the same moment need not both be right. */
export const queueOf = (slots: number) => Math.max(1, Math.ceil(slots / 4));

/** The beginning of the answer, where there is one. */
export function deliveredOf({ delivered }: Pick<Work, 'delivered'>): Delivered | undefined {
  return delivered && (delivered.tokens > 0 || delivered.text !== '') ? delivered : undefined;
}

export function refusalOf(work: Work, standing: Standing): Fault | undefined {
  const { model, taken } = standing;
  const refusal = refusalNow(standing);
  if (refusal || !model) return refusal;
  if (embedsOnly(model.tasks)) return new Fault('UNSUPPORTED', 'the model makes vectors of texts and answers nothing');
  return refusalOfMore(model, taken) ?? refusalToGoOn(work, model);
}

/** Whatever is asked of the model. */
function refusalNow({ draining, model, resident, sheds }: Standing): Fault | undefined {
  if (draining) return shuttingDown();
  if (!model) return new Fault('MODEL_NOT_FOUND', 'the node does not serve that model');
  if (!resident) return notResident();
  return sheds ? new Fault('NO_ROOM', 'the node is short of memory and takes nothing new') : undefined;
}

/** What becomes of work that is given up for another node to go on with. */
export const HANDED_BACK = failure('DRAINING', 'the model is leaving the node');

export const notResident = () => new Fault('DRAINING', 'the model is not in memory here');

function refusalOfMore({ slots }: ServedModel, taken: number): Fault | undefined {
  const most = slots + queueOf(slots);
  if (taken < most) return undefined;
  return new Fault('QUEUE_FULL', `the node has ${slots} slots and takes ${most} requests at most; it has ${taken}`);
}

export function refusalOfEmbed({ texts }: Embed, standing: Standing): Fault | undefined {
  const { model, taken } = standing;
  const refusal = refusalNow(standing);
  if (refusal || !model) return refusal;
  if (texts.length < 1 || texts.length > MOST_EMBED_TEXTS) {
    return new Fault('INVALID_REQUEST', `texts: must be 1 to ${MOST_EMBED_TEXTS}, received ${texts.length}`);
  }
  return refusalOfMore(model, taken);
}

function refusalToGoOn(work: Work, model: ServedModel): Fault | undefined {
  const { delivered } = work;
  if (!delivered || !deliveredOf(work)) return undefined;
  const { tokens, tokenIds, tokenizerDigest } = delivered;
  if (tokenIds.length > 0 && tokenIds.length !== tokens) {
    const all = `delivered.token_ids: there must be none, or as many as delivered.tokens, ${tokens}`;
    return new Fault('INVALID_REQUEST', `${all}; received ${tokenIds.length}`);
  }
  if (!model.resumes) return new Fault('STREAM_NOT_RESUMABLE', 'the engine cannot go on behind the beginning of an answer');
  if (work.jsonSchema !== '' && model.structuredOutput && !model.resumesStructured) {
    return new Fault('STREAM_NOT_RESUMABLE', 'the engine cannot go on with an answer under a JSON schema');
  }
  // Before the engine is ready nobody knows its tokenizer, and it takes no work.
  const known = tokenizerDigest !== '' && model.tokenizerDigest !== '';
  if (known && tokenizerDigest !== model.tokenizerDigest) {
    return new Fault('STREAM_NOT_RESUMABLE', 'the beginning of the answer is of another tokenizer');
  }
  return undefined;
}
