/**
 * One attempt that a router gave this node, between the engine and the link.
 *
 *   working -> emptying -> over
 *
 * The engine's pieces leave as far as the router has given credit; the rest waits here, and the engine is held. When the
 * engine has ended, the end goes out behind the last piece. A cancel or the deadline cuts that short: nobody waits for the
 * rest any more, so it is dropped, also what is still on its way from the engine, and the end waits for no credit. A node
 * that leaves hands the attempt back: its end waits for the engine neither.
 */
import { Code, REASONS } from '../proto/contract/faults.ts';
import type { Ended, Work } from '../proto/gen/infermesh/v1/link.ts';
import type { WorkWatch } from '../telemetry/events.ts';
import type { Outcome, Run, Sink, Timings } from './backends/backend.ts';
import type { Failure } from './backends/job-run.ts';
import { failure } from './backends/job-run.ts';
import type { Engine } from './engine/engine.ts';
import type { FrameWriter } from './frame.ts';
import { deltaMessage } from './frame.ts';
import { deliveredOf, HANDED_BACK } from './refusal.ts';
import { wireFailure } from './wire-failure.ts';

interface HeldPiece {
  readonly seq: number;
  readonly tokens: number;
  readonly message: Buffer;
}

export interface AssignmentOptions {
  readonly work: Work;
  readonly generate: Engine['generate'];
  readonly frames: FrameWriter;
  readonly watch: WorkWatch;
  /** Called once, when everything is handed to the link and the engine has stopped, or the attempt was handed back. */
  readonly onOver: () => void;
}

export class Assignment implements Sink {
  readonly #work: Work;
  readonly #frames: FrameWriter;
  readonly #watch: WorkWatch;
  readonly #onOver: () => void;
  readonly #run: Run;
  readonly #held: HeldPiece[] = [];
  readonly #deadline: NodeJS.Timeout;
  #credit: number;
  #paused = false;
  #begun = false;
  /** Why it was stopped from here; undefined while its answer is wanted. */
  #cut: Failure | undefined;
  /**
   * Tokens in the pieces so far, those of other attempts with them; the engine's own count has those too that no piece
   * took along, such as a stop string.
   */
  #given: number;
  /** How the engine ended, until the router is told. */
  #last: { readonly outcome: Outcome; readonly timings: Timings } | undefined;
  #over = false;

  constructor({ work, generate, frames, watch, onOver }: AssignmentOptions) {
    this.#work = work;
    this.#frames = frames;
    this.#watch = watch;
    this.#onOver = onOver;
    this.#credit = work.creditBytes;
    this.#deadline = setTimeout(() => this.#cutShort(EXPIRED), work.deadlineMs);
    const { messages, sampling, maxTokens, stop, jsonSchema, canary } = work;
    const delivered = deliveredOf(work);
    this.#given = delivered?.tokens ?? 0;
    this.#run = generate({ messages, sampling: sampling ?? {}, maxTokens, stop, jsonSchema, delivered, canary }, this);
  }

  // From the router

  cancel(): void {
    this.#cutShort(CANCELLED);
  }

  /** The node leaves: what was not sent, another one gives. */
  handBack(): void {
    this.#cutShort(HANDED_BACK);
    this.#last ??= { outcome: HANDED_BACK, timings: NO_TIMINGS };
    this.#close();
  }

  credit(bytes: number): void {
    this.#credit += bytes;
    for (let next = this.#held[0]; next && this.#credit > 0; next = this.#held[0]) {
      this.#held.shift();
      this.#send(next.seq, next.tokens, next.message);
    }
    if (this.#paused && this.#credit > 0) {
      this.#paused = false;
      this.#run.resume();
    }
    this.#close();
  }

  // From the engine

  prefilling(): void {
    this.#watch.tell({ type: 'prefilling' });
  }

  delta(seq: number, tokens: number, text: string, tokenIds?: readonly number[]): void {
    if (!this.#begun) {
      this.#begun = true;
      this.#watch.tell({ type: 'first_token' });
    }
    this.#given = seq + tokens;
    if (this.#cut) return;
    const message = deltaMessage(seq, tokens, text, tokenIds);
    if (this.#credit > 0 && this.#held.length === 0) this.#send(seq, tokens, message);
    else this.#held.push({ seq, tokens, message });
    if (this.#credit <= 0 && !this.#paused) {
      this.#paused = true;
      this.#run.pause();
    }
  }

  end(outcome: Outcome, tokens: number, timings: Timings): void {
    this.#last = { outcome, timings };
    this.#watch.tell({ type: 'ended', ...toldOutcome(this.#cut ?? outcome), tokens, timings });
    this.#close();
  }

  #send(seq: number, tokens: number, message: Buffer): void {
    this.#credit -= message.length;
    this.#frames.piece(this.#work.request, this.#work.epoch, seq, tokens, message);
  }

  /** Once the engine has ended and no piece waits: the end. */
  #close(): void {
    if (!this.#last || this.#held.length > 0 || this.#over) return;
    const { outcome, timings } = this.#last;
    const { request, epoch } = this.#work;
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#frames.ended({ ...endedFrame(this.#cut ?? outcome, this.#given, timings), request, epoch });
    this.#onOver();
  }

  #cutShort(why: Failure): void {
    if (this.#cut) return;
    this.#cut = why;
    this.#held.length = 0;
    this.#run.cancel();
    this.#close();
  }
}

const CANCELLED = failure('CANCELLED', 'cancelled');
const NO_TIMINGS: Timings = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
const EXPIRED = failure('DEADLINE_EXCEEDED', 'the deadline passed before the answer ended');

function endedFrame(outcome: Outcome, tokens: number, timings: Timings): Omit<Ended, 'request' | 'epoch'> {
  if (outcome.type === 'finish') {
    return { tokens, timings, outcome: { $case: 'finish', value: { reason: outcome.reason, usage: outcome.usage } } };
  }
  return { tokens, timings, outcome: { $case: 'failure', value: wireFailure(outcome) } };
}

function toldOutcome(outcome: Outcome) {
  if (outcome.type === 'finish') return { outcome: 'finished', finishReason: outcome.reason, usage: outcome.usage } as const;
  const cancelled = REASONS[outcome.reason].code === Code.CANCELLED;
  return { outcome: cancelled ? 'cancelled' : 'failed', reason: outcome.reason } as const;
}
