/** One answer: the server's stream to pieces. */
import type { IncomingMessage } from 'node:http';
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Job, Outcome } from '../backend.ts';
import type { JobRun } from '../job-run.ts';
import { failure, finish } from '../job-run.ts';
import { StopFilter } from '../text-assembler.ts';
import type { ChunkEvent, ServerUsage } from './chunks.ts';
import { ChunkReader } from './chunks.ts';
import { blankEnd } from './request.ts';

/** A job on its way to the server. */
export interface Work {
  readonly job: Job;
  readonly run: JobRun;
  /** Closes the connection, whereupon the server stops. */
  readonly abort: AbortController;
  /** Of prompt and delivered text, as they are estimated while the server has not said it. */
  readonly estimatedTokens: number;
}

/** What a server gets to tell the usage, once the answer is complete. */
const USAGE_MS = 2_000;
const USAGE_CHUNKS = 16;

/** The answer as it comes in. */
export class Answer {
  readonly #work: Work;
  readonly #limitSent: boolean;
  readonly #filter: StopFilter;
  readonly #reader = new ChunkReader();
  /** Blanks that were delivered and that the answer has to begin with again. */
  #owed: string;
  /** Tokens of such blanks, which were counted when they were delivered. */
  #again = 0;
  #usage: ServerUsage | undefined;
  #reason: FinishReason | undefined;
  #eventsSinceEnd = 0;

  /** @param limitSent whether the server itself keeps to `maxTokens` */
  constructor(work: Work, limitSent: boolean) {
    const { stop, delivered } = work.job;
    this.#work = work;
    this.#limitSent = limitSent;
    this.#filter = new StopFilter(stop, delivered);
    this.#owed = blankEnd(delivered?.text ?? '');
  }

  /** Reads the response to its end, or closes it. Pausing the job holds the server back, as soon as the buffers are full. */
  async read(response: IncomingMessage): Promise<Outcome> {
    const { run, abort } = this.#work;
    let patience: NodeJS.Timeout | undefined;
    try {
      for await (const bytes of response as AsyncIterable<Buffer>) {
        const over = await this.#take(this.#reader.push(bytes));
        if (over) return over;
        // Nobody closes a connection to which nothing comes any more.
        if (this.#reason !== undefined) patience ??= setTimeout(() => abort.abort(), USAGE_MS);
      }
      const over = await this.#take(this.#reader.end());
      if (run.paused) await run.released();
      return over ?? run.aborted ?? this.#ended();
    } catch (error) {
      return run.aborted ?? (this.#reason === undefined ? lost(error) : this.#ended());
    } finally {
      clearTimeout(patience);
      response.destroy();
    }
  }

  /** @returns how the answer ended, if it did */
  async #take(events: readonly ChunkEvent[]): Promise<Outcome | undefined> {
    const { run } = this.#work;
    for (const event of events) {
      if (run.paused) await run.released();
      if (run.aborted) return run.aborted;
      const over = this.#apply(event);
      if (over) return over;
    }
    return undefined;
  }

  #apply(event: ChunkEvent): Outcome | undefined {
    if (this.#reason !== undefined && ++this.#eventsSinceEnd > USAGE_CHUNKS) return this.#ended();
    switch (event.type) {
      case 'text':
        return this.#reason === undefined ? this.#text(event) : undefined;
      case 'usage':
        this.#usage = event.usage;
        return undefined;
      case 'finish':
        this.#reason = event.reason;
        return undefined;
      case 'failure':
        return event.failure;
      case 'done':
        return this.#ended();
    }
  }

  #text({ text: given, tokens, tokenIds }: Extract<ChunkEvent, { type: 'text' }>): Outcome | undefined {
    const { job, run } = this.#work;
    const text = this.#withoutOwed(given);
    if (text === undefined) return failure('STREAM_NOT_RESUMABLE', 'the server did not go on behind the delivered text');
    if (text === '') {
      this.#again += tokens;
      return undefined;
    }
    for (let i = 0; i < tokens; i++) run.token();
    // The filter counts by ids; those nobody knows are not passed on.
    const piece = this.#filter.push(text, tokenIds.length > 0 ? tokenIds : new Array<number>(tokens).fill(UNKNOWN));
    if (piece) run.deliver(piece.tokenIds.includes(UNKNOWN) ? { ...piece, tokenIds: [] } : piece);
    if (this.#filter.matched !== undefined) return this.#finish(FinishReason.FINISH_REASON_STOP_STRING);
    if (run.tokens < job.maxTokens) return undefined;
    this.#reason = FinishReason.FINISH_REASON_LENGTH;
    // Where the server knows the limit it has the usage to tell; else it would go on.
    return this.#limitSent ? undefined : this.#ended();
  }

  /** @returns undefined where the text is another one */
  #withoutOwed(text: string): string | undefined {
    const common = Math.min(this.#owed.length, text.length);
    if (this.#owed.slice(0, common) !== text.slice(0, common)) return undefined;
    this.#owed = this.#owed.slice(common);
    return text.slice(common);
  }

  #ended(): Outcome {
    if (this.#reason === undefined) {
      const begun = this.#work.run.tokens > (this.#work.job.delivered?.tokens ?? 0);
      // A server that ends a stream in order before it says anything has found fault with the request, not with itself.
      if (!begun) return failure('ENGINE_FAILED', 'the server ended the stream without an answer');
      return failure('ENGINE_CRASHED', "the server's stream ended in the middle of the answer");
    }
    const rest = this.#filter.flush();
    if (rest) this.#work.run.deliver(rest.tokenIds.includes(UNKNOWN) ? { ...rest, tokenIds: [] } : rest);
    return this.#finish(this.#reason);
  }

  #finish(reason: FinishReason): Outcome {
    const { job, run, estimatedTokens } = this.#work;
    const before = Math.max(0, (job.delivered?.tokens ?? 0) - this.#again);
    const told = Math.min(job.maxTokens, before + (this.#usage?.outputTokens ?? 0));
    // The server knows of tokens that brought no text, such as the one that ends the turn.
    if (reason !== FinishReason.FINISH_REASON_STOP_STRING) while (run.tokens < told) run.token();
    const read = this.#usage?.inputTokens ?? 0;
    // What was delivered before stood in the prompt, and counts as part of the answer.
    const inputTokens = read === 0 ? estimatedTokens : Math.max(1, read - before);
    const cachedInputTokens = Math.min(inputTokens, this.#usage?.cachedInputTokens ?? 0);
    return finish(reason, { inputTokens, outputTokens: run.tokens, cachedInputTokens });
  }
}

const UNKNOWN = -1;

/** The connection broke, or the server's process did. */
function lost(error: unknown): Outcome {
  const { code = 'closed' } = error as NodeJS.ErrnoException;
  return failure('ENGINE_CRASHED', `the connection to the server was lost in the middle of the answer (${code})`);
}
