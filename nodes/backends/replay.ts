/**
 * A backend without a model, for tests, chaos runs and benchmarks of everything around the engine: the token at
 * position n is a pure function of the prompt and n, so that a checker can compute what must arrive.
 *
 * What it does is said in the path of its ModelSpec: `replay:rate=50,length=200` (see ReplayOptions).
 */
import { createHash } from 'node:crypto';
import { Fault } from '../../proto/contract/faults.ts';
import type { Message, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Load, LoadOptions, ModelSpec, Outcome, Run, Sink } from './backend.ts';
import { failure, finish, JobRun } from './job-run.ts';
import { countTokens, MOST_ANSWER_UNITS, ReplayCache } from './replay-cache.ts';
import { SlotQueue } from './slot-queue.ts';
import type { Piece } from './text-assembler.ts';
import { StopFilter } from './text-assembler.ts';

export interface ReplayOptions {
  /** Tokens per second of each request, 0 to 100,000; 0: as fast as it is taken. */
  readonly rate: number;
  /** Tokens after which the model ends its turn, 1 to 10^9; absent: 10^9, so that max_tokens ends it. */
  readonly length: number;
}

const SCHEME = 'replay:';
const BOUNDS = { rate: [0, 100_000], length: [1, 1e9] } as const;
const DEFAULTS: ReplayOptions = { rate: 0, length: 1e9 };

/** @throws Fault ENGINE_FAILED that names the option, its range and what came */
export function parseReplayPath(path: string): ReplayOptions {
  if (!path.startsWith(SCHEME)) throw new Fault('ENGINE_FAILED', `a replay path is replay:NAME=NUMBER,…, received ${path}`);
  const options: { -readonly [key in keyof ReplayOptions]: number } = { ...DEFAULTS };
  for (const pair of path.slice(SCHEME.length).split(',').filter(Boolean)) {
    const [name = '', value = ''] = pair.split('=', 2);
    if (!isOption(name)) throw new Fault('ENGINE_FAILED', `replay knows ${Object.keys(BOUNDS).join(' and ')}, received ${name}`);
    const [least, most] = BOUNDS[name];
    const number = value === '' ? Number.NaN : Number(value);
    if (!(number >= least && number <= most)) {
      throw new Fault('ENGINE_FAILED', `replay's ${name} must be from ${least} to ${most}, received ${value}`);
    }
    options[name] = number;
  }
  return options;
}

const isOption = (name: string): name is keyof ReplayOptions => Object.hasOwn(BOUNDS, name);

/** One, two, three and four bytes of UTF-8, so that whoever cuts bytes in the wrong place is found out. */
const WORDS =
  'the dragon sang a small song over 12 hills, naïve été 森 雨が 🐉 and 🌧️ fell; then it slept. Why? Über alles: x=42'.split(' ');

/** The number of a prompt from which its tokens follow. */
export function replaySeed(messages: readonly Message[]): number {
  const text = messages.map((message) => `${message.role} ${message.text.length} ${message.text}`).join('\n');
  return createHash('sha256').update(text).digest().readUInt32LE(0);
}

/** The token at position `n`, from 0, of the answer to the prompt with that seed. */
export function replayToken(seed: number, n: number): string {
  let mixed = Math.imul(seed ^ Math.imul(n + 1, 0x9e3779b1), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  const word = WORDS[((mixed ^ (mixed >>> 16)) >>> 0) % WORDS.length]!;
  return n === 0 ? word : ` ${word}`;
}

/** The answer's first `tokens` tokens. */
export function replayText(messages: readonly Message[], tokens: number): string {
  const seed = replaySeed(messages);
  return Array.from({ length: tokens }, (_, n) => replayToken(seed, n)).join('');
}

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
  slot = 0;
  cachedTokens = 0;
  /** Given so far, for the slot's cache. */
  text = '';
  /** When the rate began to count, and the tokens given before that. */
  since = 0;
  base = 0;

  constructor(job: Job, onWish: (answer: Answer) => void, sink: Sink) {
    this.job = job;
    this.run = new JobRun(
      sink,
      () => performance.now(),
      () => onWish(this),
    );
    this.seed = replaySeed(job.messages);
    this.filter = new StopFilter(job.stop);
    this.inputTokens = countTokens(job.messages);
  }

  deliver(piece: Piece): void {
    if (this.text.length < MOST_ANSWER_UNITS) this.text += piece.text;
    this.run.deliver(piece);
  }
}

export class ReplayBackend implements Backend {
  #options = DEFAULTS;
  #contextLength = 0;
  #queue: SlotQueue<number, Answer> | undefined;
  readonly #cache = new ReplayCache();
  #disposed = false;
  #queuedPromptTokens = 0;
  /** One for all requests; present while one of them can give tokens. */
  #tick: NodeJS.Timeout | NodeJS.Immediate | undefined;

  load({ model, slots, watts }: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    return Promise.resolve().then(() => {
      this.#options = parseReplayPath(model.path);
      this.#contextLength = model.contextLength;
      const pick = (free: ReadonlySet<number>, { job, inputTokens }: Answer) => this.#cache.pick(free, job.messages, inputTokens);
      this.#queue = new SlotQueue(Array.from({ length: slots }).keys(), pick, (slot, answer) => this.#begin(slot, answer));
      progress(1);
      return served(model, slots, watts, this.#options);
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
    const refusal = answer.run.aborted ?? this.#refusal(answer);
    if (!refusal && this.#queue) return this.#queue.add(answer);
    this.#queuedPromptTokens -= answer.inputTokens;
    answer.run.end(refusal ?? SHUTTING_DOWN);
  }

  #refusal({ job, inputTokens }: Answer) {
    if (this.#disposed) return SHUTTING_DOWN;
    if (job.jsonSchema !== '') return failure('UNSUPPORTED', 'the replay engine cannot hold an answer to a JSON schema');
    const room = this.#contextLength - 1;
    if (inputTokens <= room) return undefined;
    return failure('CONTEXT_TOO_LONG', `the prompt has ${inputTokens} tokens and the model takes ${room} at most`);
  }

  #begin(slot: number, answer: Answer): void {
    this.#queuedPromptTokens -= answer.inputTokens;
    answer.since = performance.now();
    answer.slot = slot;
    answer.cachedTokens = this.#cache.read(slot, answer.job.messages, answer.inputTokens);
    answer.run.begin(slot);
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
    answer.since = performance.now();
    answer.base = answer.run.tokens;
    if (!answer.run.paused) this.#schedule();
  }

  #schedule(): void {
    if (this.#tick !== undefined) return;
    const turn = () => this.#turn();
    this.#tick = this.#options.rate === 0 ? setImmediate(turn) : setTimeout(turn, TICK_MS);
  }

  #turn(): void {
    this.#tick = undefined;
    const now = performance.now();
    let more = false;
    for (const answer of this.#queue?.running.keys() ?? []) {
      if (answer.run.aborted) this.#end(answer, answer.run.aborted);
      else if (!answer.run.paused) {
        this.#give(answer, now);
        more ||= !answer.run.ended && !answer.run.paused;
      }
    }
    this.#queue?.handOn();
    if (more) this.#schedule();
  }

  /** Gives the tokens that are due; pause and cancel are heeded after each. */
  #give(answer: Answer, now: number): void {
    const { rate, length } = this.#options;
    const { job, run, filter, seed, inputTokens } = answer;
    const room = this.#contextLength - inputTokens;
    const most = Math.min(job.maxTokens, length, room);
    const due = rate === 0 ? run.tokens + TOKENS_PER_TURN : answer.base + Math.floor(((now - answer.since) * rate) / 1000);
    while (run.tokens < Math.min(due, most)) {
      const text = replayToken(seed, run.tokens);
      run.token();
      const piece = filter.push(text, 1);
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
    this.#cache.answered(slot, text);
    this.#end(answer, finish(reason, usage));
  }

  #end(answer: Answer, outcome: Outcome): void {
    this.#queue?.free(answer);
    answer.run.end(outcome);
  }
}

const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');

function served(model: ModelSpec, slots: number, watts: number | undefined, { rate }: ReplayOptions): ServedModel {
  return {
    name: model.name,
    digest: model.digest,
    engine: 'replay',
    engineVersion: '1',
    quantization: model.quantization,
    contextLength: model.contextLength,
    tokenizerDigest: `sha256:${createHash('sha256').update(WORDS.join(' ')).digest('hex')}`,
    tier: model.tier,
    tasks: [...model.tasks],
    slots,
    prefillTokensPerSecond: UNLIMITED_RATE,
    decodeTokensPerSecond: rate || UNLIMITED_RATE,
    price: model.price,
    sizeBytes: model.sizeBytes,
    licence: model.licence,
    structuredOutput: false,
    resumes: false,
    resumesStructured: false,
    watts: watts ?? 0,
  };
}

/** What an engine without a rate says of itself: far more than any router sends on. */
const UNLIMITED_RATE = 100_000;
