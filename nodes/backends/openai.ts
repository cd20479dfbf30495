/**
 * Any server with the API of OpenAI: vLLM, llama-server, llama-cpp-python, TGI, a cloud. A slot is one request at a time.
 * The files of openai/ are its parts: chunks.ts makes events of what is streamed, request.ts requests of jobs, refusals.ts
 * failures of refusals.
 *
 * Where the server says that it takes no more for now, the slot of the request that it refused is kept back for as long as
 * it says, and so where the server is not there; while all are kept back, what comes is refused at once.
 */
import type { IncomingMessage } from 'node:http';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Load, LoadOptions, Outcome, Run, Sink } from './backend.ts';
import type { Failure } from './job-run.ts';
import { asFault, failure, JobRun } from './job-run.ts';
import { readSchema } from './json-schema.ts';
import type { Work } from './openai/answer.ts';
import { Answer } from './openai/answer.ts';
import { completeAlready, estimateTokens, fullWith } from './openai/beginning.ts';
import { codeOf, Refused } from './openai/http.ts';
import { measure, probeSchemaForm } from './openai/measure.ts';
import type { ServerLoad } from './openai/metrics.ts';
import { readMetrics } from './openai/metrics.ts';
import { Parking } from './openai/parking.ts';
import type { Form } from './openai/request.ts';
import { chatRequest, schemaFormsOf, sendsLimit, unsupportedSampling } from './openai/request.ts';
import { servedBy } from './openai/served.ts';
import type { Server } from './openai/server.ts';
import { findServer, lookAfter } from './openai/server.ts';
import { UNREACHABLE_MS } from './retry-after.ts';
import { ServerLife } from './server-life.ts';
import { SlotQueue } from './slot-queue.ts';

/** How often a server is asked for its load, at most; a report goes out each second. */
const METRICS_MS = 1_000;
/** Of parameters that one request may turn out to be too much for. */
const MOST_REPAIRS = 8;
const DIED = ['ECONNRESET', 'EPIPE'];

export class OpenAiBackend implements Backend {
  readonly #warn: (message: string) => void;
  #server: Server | undefined;
  #form: Form | undefined;
  #queue: SlotQueue<number, Work> | undefined;
  readonly #refused = new Set<string>();
  readonly #warned = new Set<string>();
  readonly #answers = new Set<Promise<void>>();
  readonly #parked = new Parking<Work>((work) => {
    this.#queue?.free(work);
    this.#queue?.handOn();
  });
  #queuedPromptTokens = 0;
  #serverLoad: ServerLoad | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  readonly #life = new ServerLife(
    () => (this.#server ? lookAfter(this.#server) : Promise.resolve()),
    (why) => this.#stop(why),
  );

  /** @param warn what the operator should know, once each; never the user's text */
  constructor(warn: (message: string) => void = () => {}) {
    this.#warn = warn;
  }

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const { model: spec, slots } = options;
    const server = await findServer(options);
    progress(0.2);
    const { dialect, model } = server;
    const contextLength = Math.min(spec.contextLength, server.contextLength ?? spec.contextLength);
    const form = { dialect, model, contextLength, schemaForm: undefined, refused: this.#refused };
    this.#server = server;
    this.#form = form;
    this.#queue = new SlotQueue<number, Work>(
      Array.from({ length: slots }).keys(),
      ([first]) => first as number,
      (slot, work) => this.#start(slot, work),
    );
    try {
      const rates = await measure(this);
      progress(0.7);
      const schemaForm = await probeSchemaForm(schemaFormsOf(dialect), (tried) => {
        this.#form = { ...form, schemaForm: tried };
        return this;
      });
      this.#form = { ...form, schemaForm };
      if (this.#life.over) throw asFault(this.#life.over);
      this.#life.watch();
      progress(1);
      const resumes = dialect === 'vllm';
      return servedBy(server, options, { contextLength, ...rates, structuredOutput: schemaForm !== undefined, resumes });
    } catch (error) {
      await this.dispose();
      throw error;
    }
  }

  generate(job: Job, sink: Sink): Run {
    const estimatedTokens = estimateTokens(job);
    const abort = new AbortController();
    const heed = () => this.#heed(work);
    const run: JobRun = new JobRun(sink, () => performance.now(), heed, job.delivered?.tokens);
    const work: Work = { job, run, abort, estimatedTokens };
    this.#queuedPromptTokens += estimatedTokens;
    // The caller gets its handle before the first word on the sink.
    setImmediate(() => this.#enqueue(work));
    return run;
  }

  currentLoad(): Load {
    this.#askForLoad();
    const parked = this.#parked.size;
    return {
      running: (this.#queue?.running.size ?? 0) - parked,
      queued: (this.#queue?.waiting.size ?? 0) + (this.#serverLoad?.waiting ?? 0),
      queuedPromptTokens: this.#queuedPromptTokens,
      kvCacheUse: this.#serverLoad?.kvCacheUse ?? 0,
      ...(parked > 0 && this.#queue ? { usableSlots: this.#queue.slots - parked } : {}),
    };
  }

  onLost(listener: (message: string) => void): void {
    this.#life.onLost(listener);
  }

  dispose(): Promise<void> {
    return this.#life.dispose();
  }

  async #stop(why: Failure): Promise<void> {
    this.#parked.stop();
    const works = [...(this.#queue?.waiting ?? []), ...(this.#queue?.running.keys() ?? [])];
    for (const { run } of works) run.abort(why);
    await Promise.all(this.#answers);
    this.#server?.http.close();
  }

  #enqueue(work: Work): void {
    const over = work.run.aborted ?? this.#refusal(work.job) ?? completeAlready(work.job, work.estimatedTokens);
    if (!over && this.#queue) return this.#queue.add(work);
    this.#queuedPromptTokens -= work.estimatedTokens;
    work.run.end(over ?? NOT_LOADED);
  }

  #refusal({ jsonSchema, delivered }: Job): Outcome | undefined {
    if (this.#life.over || !this.#form) return this.#life.over ?? NOT_LOADED;
    if (this.#queue && this.#parked.size >= this.#queue.slots) {
      const { freeInMs } = this.#parked;
      const seconds = Math.max(1, Math.ceil(freeInMs / 1000));
      return failure('QUEUE_FULL', `the server takes no more for now; it may be asked again in ${seconds} s`, freeInMs);
    }
    if (delivered && this.#form.dialect !== 'vllm') {
      return failure('STREAM_NOT_RESUMABLE', 'the server cannot go on behind the beginning of an answer');
    }
    if (jsonSchema === '') return undefined;
    if (delivered) return failure('STREAM_NOT_RESUMABLE', 'the server cannot go on with an answer under a JSON schema');
    if (this.#form.schemaForm === undefined) return failure('UNSUPPORTED', 'the server cannot hold an answer to a JSON schema');
    const read = readSchema(jsonSchema);
    return 'type' in read ? (read as Outcome) : undefined;
  }

  #heed(work: Work): void {
    if (!work.run.aborted) return;
    work.abort.abort();
    if (!this.#queue?.leave(work)) return;
    this.#queuedPromptTokens -= work.estimatedTokens;
    work.run.end(work.run.aborted);
  }

  #start(slot: number, work: Work): void {
    this.#queuedPromptTokens -= work.estimatedTokens;
    const answered = this.#answer(slot, work)
      .catch((error: unknown) => work.run.aborted ?? failure('ENGINE_FAILED', `the engine broke the request (${codeOf(error)})`))
      .then((outcome) => {
        if (!this.#parked.has(work)) this.#queue?.free(work);
        work.run.end(outcome);
        this.#answers.delete(answered);
        this.#queue?.handOn();
      });
    this.#answers.add(answered);
  }

  async #answer(slot: number, work: Work): Promise<Outcome> {
    let limited = sendsLimit(work.job, this.#form as Form);
    for (let repairs = 0; ; repairs++) {
      if (work.run.aborted) return work.run.aborted;
      const response = await this.#ask(work, limited, repairs < MOST_REPAIRS);
      if (response === 'again') continue;
      // Prompt and limit together may be too long for a context that is shorter than the server has told.
      if (response === 'unlimited') limited = false;
      else if ('type' in response) return response;
      else {
        work.run.begin(slot);
        return new Answer(work, limited).read(response);
      }
    }
  }

  /** @returns the server's response, how the job ended without one, or in which way to ask again */
  async #ask(work: Work, limited: boolean, mayRepair: boolean): Promise<IncomingMessage | Outcome | 'again' | 'unlimited'> {
    const { job, run, abort } = work;
    const form = this.#form as Form;
    const request = chatRequest(job, form, limited);
    this.#tellUnsupported(job, form);
    try {
      return await (this.#server as Server).http.post('/chat/completions', request, abort.signal);
    } catch (error) {
      if (run.aborted) return run.aborted;
      if (!(error instanceof Refused)) return this.#unreachable(work, error);
      const { failure: why, parameter, restMs, tooLong = false } = error.refusal;
      if (restMs !== undefined) this.#park(work, restMs);
      if (tooLong && limited && mayRepair) return 'unlimited';
      if (tooLong && job.delivered) return fullWith(job.delivered, form.contextLength);
      if (parameter === undefined || !(parameter in request) || !mayRepair) return why;
      this.#refused.add(parameter);
      return 'again';
    }
  }

  #unreachable(work: Work, error: unknown): Outcome {
    const code = codeOf(error);
    this.#life.doubt();
    // It was there, and went with the request.
    if (DIED.includes(code)) return failure('ENGINE_CRASHED', `the server closed the connection before it answered (${code})`);
    this.#park(work, UNREACHABLE_MS);
    return failure('DRAINING', `the server cannot be reached (${code})`, UNREACHABLE_MS);
  }

  /** Keeps the slot back: fewer requests go to a server that has enough. */
  #park(work: Work, forMs: number): void {
    if (this.#life.over) return;
    this.#parked.keep(work, forMs);
    if (this.#parked.size === this.#queue?.slots) this.#turnAway();
  }

  /** Nobody is to wait for a slot that is kept back. */
  #turnAway(): void {
    const why = failure('QUEUE_FULL', 'the server takes no more for now', this.#parked.freeInMs);
    for (const { run } of this.#queue?.waiting ?? []) run.abort(why);
  }

  #tellUnsupported({ sampling }: Job, form: Form): void {
    for (const name of unsupportedSampling(sampling, form)) {
      if (this.#warned.has(name)) continue;
      this.#warned.add(name);
      this.#warn(`the server takes no ${name}: requests go without it`);
    }
  }

  #askForLoad(): void {
    const now = performance.now();
    if (this.#server?.dialect !== 'vllm' || this.#life.over || now - this.#askedAt < METRICS_MS) return;
    this.#askedAt = now;
    void this.#server.http.ask('/metrics', AbortSignal.timeout(METRICS_MS)).then((text) => {
      this.#serverLoad = text === undefined ? undefined : readMetrics(text);
    });
  }
}

const NOT_LOADED = failure('ENGINE_FAILED', 'no model is loaded');
