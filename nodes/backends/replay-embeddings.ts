/**
 * Vectors without a model, for tests and chaos runs: `replay:embed=64` makes them of 64 numbers, see replay-vectors.ts.
 * `prefill` is how fast texts are read, one embed after the other; `poison` and `wedge` are as with answers.
 */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import { failure } from './job-run.ts';
import { answersNothing, NO_LOAD } from './no-answers.ts';
import { served } from './replay.ts';
import { POISON, parseReplayPath, REPLAY_DEFAULTS } from './replay-options.ts';
import { replayVector, wordsOf } from './replay-vectors.ts';

export class ReplayEmbeddings implements Backend {
  readonly #die: () => void;
  #options = REPLAY_DEFAULTS;
  #contextLength = 0;
  #answered = 0;
  /** When all texts that came are read. */
  #busyUntil = 0;
  readonly #disposed = new AbortController();

  /** @param die ends the process, where a poisoned text is to do that */
  constructor(die: () => void = () => process.abort()) {
    this.#die = die;
  }

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    this.#options = parseReplayPath(options.model.path);
    this.#contextLength = options.model.contextLength;
    progress(1);
    return {
      ...served(options, this.#options),
      decodeTokensPerSecond: 0,
      resumes: false,
      embeddingDimensions: this.#options.embed,
    };
  }

  generate(_job: Job, sink: Sink): Run {
    return answersNothing(sink);
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const { embed, prefill, poison, wedge } = this.#options;
    if (poison === 1 && texts.some((text) => text.includes(POISON))) this.#die();
    const tokens = texts.map((text) => wordsOf(text).slice(0, this.#contextLength));
    const inputTokens = tokens.reduce((sum, { length }) => sum + length, 0);
    const now = performance.now();
    this.#busyUntil = Math.max(now, this.#busyUntil) + (prefill === 0 ? 0 : (inputTokens * 1000) / prefill);
    const dueInMs = this.#answered >= wedge ? Number.POSITIVE_INFINITY : this.#busyUntil - now;
    const cut = AbortSignal.any([signal, this.#disposed.signal]);
    if (cut.aborted || !(await waited(dueInMs, cut))) return this.#disposed.signal.aborted ? SHUTTING_DOWN : CANCELLED;
    this.#answered++;
    return { type: 'vectors', vectors: tokens.map((words) => replayVector(words.join(' '), embed)), inputTokens };
  }

  currentLoad(): Load {
    return NO_LOAD;
  }

  dispose(): Promise<void> {
    this.#disposed.abort();
    return Promise.resolve();
  }
}

/** @returns false where the signal was aborted before the time was over */
function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  if (ms <= 0) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = Number.isFinite(ms) ? setTimeout(() => end(true), ms) : undefined;
    const end = (over: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', cut);
      resolve(over);
    };
    const cut = () => end(false);
    signal.addEventListener('abort', cut, { once: true });
  });
}

const CANCELLED = failure('CANCELLED', 'cancelled');
const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
