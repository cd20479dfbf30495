/** One answer: Ollama's chunks to pieces. */
import { FinishReason } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Job, Outcome } from '../backend.ts';
import type { EngineTimes, JobRun } from '../job-run.ts';
import { failure, finish } from '../job-run.ts';
import { chatEvent, lastText, usageOf } from './chunks.ts';
import type { Chat } from './request.ts';
import type { Call } from './server.ts';

/** A job on its way to Ollama. */
export interface Work {
  readonly job: Job;
  readonly run: JobRun;
  readonly chat: Chat;
  /** As estimated while Ollama has not said it. */
  readonly promptTokens: number;
  call?: Call;
}

export interface Ended {
  readonly outcome: Outcome;
  readonly told?: EngineTimes;
}

/** Chunks that bring nothing, one after the other: more than any model thinks. */
const MOST_EMPTY = 100_000;
/** What Ollama gets to tell its counts, once it has given all that was asked for. */
const COUNTS_MS = 2_000;

/** Reads to the end, or stops where more comes than was asked for. @throws Fault, or what the library throws */
export async function readAnswer({ client, exchange }: Call, { job, run, chat, promptTokens }: Work): Promise<Ended> {
  const isFull = () => run.tokens >= job.maxTokens;
  const full = (): Ended => ({
    outcome: finish(FinishReason.FINISH_REASON_LENGTH, usageOf({ ...UNTOLD, inputTokens: promptTokens }, run.tokens)),
  });
  let patience: NodeJS.Timeout | undefined;
  let empty = 0;
  const give = (text: string) => {
    const seq = run.tokens;
    run.token();
    run.deliver({ seq, tokens: 1, text: text.toWellFormed(), tokenIds: [] });
    if (isFull()) patience = setTimeout(() => exchange.cut(), COUNTS_MS);
  };
  try {
    for await (const chunk of await client.chat(chat)) {
      // What is not read stays in the connection, and when that is full Ollama waits too.
      if (run.paused) await run.released();
      if (run.aborted) return { outcome: run.aborted };
      const event = chatEvent(chunk, job.maxTokens);
      empty = event.type === 'nothing' ? empty + 1 : 0;
      if (empty > MOST_EMPTY)
        return { outcome: failure('ENGINE_FAILED', `Ollama sent over ${MOST_EMPTY} chunks without a token`) };
      if (event.type === 'text') {
        if (isFull()) return full();
        give(event.text);
      }
      if (event.type !== 'done') continue;
      const last = lastText(chunk);
      if (last !== '' && !isFull()) give(last);
      return { outcome: finish(event.reason, usageOf(event.told, run.tokens)), told: event.told };
    }
    return { outcome: failure('ENGINE_FAILED', 'Ollama ended the answer without saying so') };
  } catch (thrown) {
    if (isFull() && !run.aborted) return full();
    throw thrown;
  } finally {
    clearTimeout(patience);
  }
}

const UNTOLD = { outputTokens: undefined, prefillMs: undefined, decodeMs: undefined };
