/**
 * A backend without a model, for tests, chaos runs and benchmarks of everything around the engine: the token at
 * position n is a pure function of the prompt and n, so that a checker can compute what must arrive.
 *
 * What it does is said in the path of its ModelSpec: `replay:rate=50,length=200` (see ReplayOptions).
 */
import { createHash } from 'node:crypto';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Load, LoadOptions, Outcome, Run, Sink } from './backend.ts';
import { failure, finish, JobRun } from './job-run.ts';
import { countTokens, MOST_ANSWER_UNITS, ReplayCache } from './replay-cache.ts';
import type { ReplayOptions } from './replay-options.ts';
import { POISON, parseReplayPath, REPLAY_DEFAULTS } from './replay-options.ts';
import { REPLAY_WORDS, replaySeed, replayToken, replayTokenId } from './replay-tokens.ts';
import { servedModel } from './served.ts';
import { SlotQueue } from './slot-queue.ts';
import type { Piece } from './text-assembler.ts';
import { StopFilter } from './text-assembler.ts';

export { replaySeed, replayText, replayToken } from './replay-tokens.ts';

/** How often the requests' clocks are looked at; a token comes at most this late. */
const TICK_MS = 5;
/** Tokens a request without a rate gives in one turn of the event loop. */
const TOKENS_PER_TURN = 32;

class Answer {
  readonly job: Job;
  readonly run: JobRun;
  readonly seed: number;
  readonly filter: StopFilter;
  readonly inputTokens: number;
  /** Tokens that were delivered before. */
  readonly delivered: number;
  slot = 0;
  cachedTokens = 0;
  /** The answer so far, for the slot's cache. */
  text: string;
  /** When the prompt is read and the rate begins to count, and the tokens given before that. */
  since = 0;
  base: number;

  constructor(job: Job, onWish: (answer: Answer) => void, sink: Sink) {
    this.job = job;
    this.run = new JobRun(
      sink,
      () => performance.now(),
      () => onWish(this),
      job.delivered?.tokens,
    );
    this.seed = replaySeed(job.messages);
    this.filter = new StopFilter(job.stop, job.delivered);
    this.inputTokens = countTokens(job.messages);
    this.delivered = this.base = this.run.tokens;
    this.text = job.delivered?.text.slice(0, MOST_ANSWER_UNITS) ?? '';
  }

  deliver(piece: Piece): void {
    if (this.text.length < MOST_ANSWER_UNITS) this.text += piece.text;
    this.run.deliver(piece);
  }
}

export class ReplayBackend implements Backend {
  readonly #die: () => void;
  #options = REPLAY_DEFAULTS;
  #contextLength = 0;
  #queue: SlotQueue<number, Answer> | undefined;
  readonly #cache = new ReplayCache();
  #disposed = false;
  #queuedPromptTokens = 0;
  #answered = 0;
  /** One for all requests; present while one of them can give tokens. */
  #tick: NodeJS.Timeout | NodeJS.Immediate | undefined;

  /** @param die ends the process, where a poisoned prompt is to do that */
  constructor(die: () => void = () => process.abort()) {
    this.#die = die;
  }

  load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const { model, slots } = options;
    return Promise.resolve().then(() => {
      this.#options = parseReplayPath(model.path);
      this.#contextLength = model.contextLength;
      const pick = (free: ReadonlySet<number>, { job, inputTokens }: Answer) => this.#cache.pick(free, job.messages, inputTokens);
      this.#queue = new SlotQueue(Array.from({ length: slots }).keys(), pick, (slot, answer) => this.#begin(slot, answer));
      progress(1);
      return served(options, this.#options);
    });
  }

  generate(job: Job, sink: Sink): Run {
    const answer = new Answer(job, (wished) => this.#heed(wished), sink);
    this.#queuedPromptTokens += answer.inputTokens;
    // The caller gets its handle before the first word on the sink.
    setImmediate(() => this.#enqueue(answer));
    return answer.run;
  }

  currentLoad(): Load {
    const answers = [...(this.#queue?.running.keys() ?? [])];
    const used = answers.reduce((sum, answer) => sum + answer.inputTokens + answer.run.tokens, 0);
    const cells = this.#contextLength * (this.#queue?.slots ?? 0);
    return {
      running: answers.length,
      queued: this.#queue?.waiting.size ?? 0,
      queuedPromptTokens: this.#queuedPromptTokens,
      kvCacheUse: cells === 0 ? 0 : Math.min(1, used / cells),
    };
  }

  dispose(): Promise<void> {
    this.#disposed = true;
    for (const answer of [...(this.#queue?.waiting ?? []), ...(this.#queue?.running.keys() ?? [])]) {
      answer.run.abort(SHUTTING_DOWN);
    }
    return Promise.resolve();
  }

  #enqueue(answer: Answer): void {
    const over = answer.run.aborted ?? this.#refusal(answer) ?? this.#complete(answer);
    if (!over && this.#queue) return this.#queue.add(answer);
    this.#queuedPromptTokens -= answer.inputTokens;
    answer.run.end(over ?? SHUTTING_DOWN);
  }

  #refusal({ job, inputTokens }: Answer) {
    if (this.#disposed) return SHUTTING_DOWN;
    if (job.jsonSchema !== '') return failure('UNSUPPORTED', 'the replay engine cannot hold an answer to a JSON schema');
    const room = this.#contextLength - 1;
    if (inputTokens <= room) return undefined;
    return failure('CONTEXT_TOO_LONG', `the prompt has ${inputTokens} tokens and the model takes ${room} at most`);
  }

  /** The end of an answer to which nothing can be added. */
  #complete({ job, seed, inputTokens, delivered }: Answer): Outcome | undefined {
    if (!job.delivered || delivered === 0) return undefined;
    const usage = { inputTokens, outputTokens: delivered, cachedInputTokens: 0 };
    if (delivered >= Math.min(job.maxTokens, this.#contextLength - inputTokens)) {
      return finish(FinishReason.FINISH_REASON_LENGTH, usage);
    }
    if (job.delivered.text.endsWith(replayToken(seed, delivered - 1))) return undefined;
    // Only a stop string ends a text within a token.
    return job.stop.length > 0
      ? finish(FinishReason.FINISH_REASON_STOP_STRING, usage)
      : failure('INVALID_REQUEST', `delivered.text does not end with token ${delivered - 1} of the answer`);
  }

  #begin(slot: number, answer: Answer): void {
    const { job, run, inputTokens, delivered } = answer;
    this.#queuedPromptTokens -= inputTokens;
    answer.slot = slot;
    answer.cachedTokens = this.#cache.read(slot, job.messages, inputTokens);
    const unread = inputTokens - answer.cachedTokens + delivered;
    const { prefill, poison } = this.#options;
    answer.since = performance.now() + (prefill === 0 ? 0 : (unread * 1000) / prefill);
    run.begin(slot);
    if (poison === 1 && job.messages.some(({ text }) => text.includes(POISON))) {
      this.#die();
      run.abort(failure('ENGINE_FAILED', 'the prompt is poisoned'));
    }
    this.#schedule();
  }

  #heed(answer: Answer): void {
    if (answer.run.aborted) {
      if (this.#queue?.leave(answer)) {
        this.#queuedPromptTokens -= answer.inputTokens;
        answer.run.end(answer.run.aborted);
      } else if (this.#queue?.running.has(answer)) this.#schedule();
      return;
    }
    // The rate counts from here on: what a pause held back must not come all at once.
    answer.since = Math.max(answer.since, performance.now());
    answer.base = answer.run.tokens;
    if (!answer.run.paused) this.#schedule();
  }

  /** @param soon while some request takes tokens as fast as they come */
  #schedule(soon = this.#options.rate === 0): void {
    if (this.#tick !== undefined) return;
    const turn = () => this.#turn();
    this.#tick = soon ? setImmediate(turn) : setTimeout(turn, TICK_MS);
  }

  #turn(): void {
    this.#tick = undefined;
    const now = performance.now();
    let more = false;
    let soon = false;
    for (const answer of this.#queue?.running.keys() ?? []) {
      if (answer.run.aborted) this.#end(answer, answer.run.aborted);
      else if (!answer.run.paused && !this.#stuck(answer)) {
        this.#give(answer, now);
        const goesOn = !answer.run.ended && !answer.run.paused;
        more ||= goesOn;
        soon ||= goesOn && this.#options.rate === 0 && now >= answer.since;
      }
    }
    this.#queue?.handOn();
    if (more) this.#schedule(soon);
  }

  #stuck({ run, delivered }: Answer): boolean {
    return this.#answered >= this.#options.wedge || run.tokens - delivered >= this.#options.stall;
  }

  /** Gives the tokens that are due; pause and cancel are heeded after each. */
  #give(answer: Answer, now: number): void {
    if (now < answer.since) return;
    const { rate, length } = this.#options;
    const { job, run, filter, seed, inputTokens } = answer;
    const room = this.#contextLength - inputTokens;
    const most = Math.min(job.maxTokens, length, room);
    const due = rate === 0 ? run.tokens + TOKENS_PER_TURN : answer.base + Math.floor(((now - answer.since) * rate) / 1000);
    while (run.tokens < Math.min(due, most) && !this.#stuck(answer)) {
      const position = run.tokens;
      run.token();
      const piece = filter.push(replayToken(seed, position), [replayTokenId(seed, position)]);
      if (piece) answer.deliver(piece);
      if (filter.matched !== undefined) return this.#finish(answer, FinishReason.FINISH_REASON_STOP_STRING);
      if (run.paused || run.aborted) break;
    }
    if (run.tokens < most || run.aborted) return;
    const rest = filter.flush();
    if (rest) answer.deliver(rest);
    const ended = length <= Math.min(job.maxTokens, room);
    this.#finish(answer, ended ? FinishReason.FINISH_REASON_STOP : FinishReason.FINISH_REASON_LENGTH);
  }

  #finish(answer: Answer, reason: FinishReason): void {
    const { inputTokens, cachedTokens: cachedInputTokens, run, slot, text } = answer;
    const usage = { inputTokens, outputTokens: run.tokens, cachedInputTokens };
    this.#answered++;
    this.#cache.answered(slot, text);
    this.#end(answer, finish(reason, usage));
  }

  #end(answer: Answer, outcome: Outcome): void {
    this.#queue?.free(answer);
    answer.run.end(outcome);
  }
}

const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');

/** What a replay engine says of itself. */
export function served(options: LoadOptions, { rate, prefill }: ReplayOptions): ServedModel {
  return servedModel(options, {
    engine: 'replay',
    engineVersion: '1',
    tokenizerDigest: `sha256:${createHash('sha256').update(REPLAY_WORDS.join(' ')).digest('hex')}`,
    prefillTokensPerSecond: prefill || UNLIMITED_RATE,
    decodeTokensPerSecond: rate || UNLIMITED_RATE,
    resumes: true,
  });
}

/** What an engine without a rate says of itself: far more than any router sends on. */
const UNLIMITED_RATE = 100_000;
