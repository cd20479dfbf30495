/**
 * Ollama by its npm package: an engine that is a server of its own, which keeps and loads the weights. The files of
 * ollama/ are its parts.
 *
 * Slots are this node's word: how many requests an Ollama decodes at a time (OLLAMA_NUM_PARALLEL) it does not tell; what
 * is over that waits in its own queue.
 */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Embedding, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import type { Failure } from './job-run.ts';
import { asFault, failure, JobRun } from './job-run.ts';
import { answersNothing } from './no-answers.ts';
import type { Ended, Work } from './ollama/answer.ts';
import { readAnswer } from './ollama/answer.ts';
import { embedTexts } from './ollama/embed.ts';
import { failureFrom } from './ollama/faults.ts';
import type { LoadedOllama } from './ollama/load.ts';
import { ANSWER_LIMIT_MS, loadOllama } from './ollama/load.ts';
import type { Chat } from './ollama/request.ts';
import { chatOf } from './ollama/request.ts';
import { OllamaServer } from './ollama/server.ts';
import { ServerLife } from './server-life.ts';
import { SlotQueue } from './slot-queue.ts';

/** A guess for the queue only: a token of most languages has some four characters. */
const CHARACTERS_PER_TOKEN = 4;

export class OllamaBackend implements Backend {
  #server: OllamaServer | undefined;
  #loaded: LoadedOllama | undefined;
  #queue: SlotQueue<number, Work> | undefined;
  readonly #life = new ServerLife(
    () => this.#server?.version(ANSWER_LIMIT_MS) ?? Promise.resolve(),
    (why) => this.#stop(why),
  );
  readonly #running = new Set<Promise<unknown>>();
  #queuedPromptTokens = 0;

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const { ollama } = options;
    if (!ollama) throw new TypeError('the ollama backend wants to know its server');
    const server = new OllamaServer(ollama.url);
    this.#server = server;
    // A server may be lost, or stand still, in the middle of a load too.
    this.#life.watch();
    const loaded = await loadOllama(server, { ...options, ollama }, progress).catch((thrown: unknown) => {
      throw this.#life.over ? asFault(this.#life.over) : thrown;
    });
    this.#loaded = loaded;
    const slots = Array.from({ length: options.slots }).keys();
    this.#queue = new SlotQueue(
      slots,
      (free) => Math.min(...free),
      (slot, work) => this.#start(server, slot, work),
    );
    progress(1);
    return loaded.model;
  }

  onLost(listener: (message: string) => void): void {
    this.#life.onLost(listener);
  }

  generate(job: Job, sink: Sink): Run {
    if (this.#loaded?.embedsOnly) return answersNothing(sink);
    let work: Work | undefined;
    const run = new JobRun(
      sink,
      () => performance.now(),
      () => this.#heed(work),
      job.delivered?.tokens,
    );
    const chat = this.#chatOf(job);
    // The caller gets its handle before the first word on the sink.
    if ('type' in chat) setImmediate(() => run.end(run.aborted ?? chat));
    else {
      const characters = job.messages.reduce((sum, { text }) => sum + text.length, 0);
      const queued: Work = { job, run, chat, promptTokens: Math.ceil(characters / CHARACTERS_PER_TOKEN) };
      work = queued;
      this.#queuedPromptTokens += queued.promptTokens;
      setImmediate(() => this.#enqueue(queued));
    }
    return run;
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const [server, loaded] = [this.#server, this.#loaded];
    if (this.#life.over) return this.#life.over;
    if (!server || !loaded?.embedsOnly) return failure('UNSUPPORTED', 'the model answers and makes no vectors of texts');
    const embedding = await this.#tracked(embedTexts(server, loaded.standing, texts, signal));
    if (embedding.type === 'failure') this.#doubt(embedding);
    return embedding.type === 'failure' ? (this.#life.over ?? embedding) : embedding;
  }

  currentLoad(): Load {
    const works = [...(this.#queue?.running.keys() ?? [])];
    const used = works.reduce((sum, { promptTokens, run }) => sum + promptTokens + run.tokens, 0);
    const cells = (this.#loaded?.model.contextLength ?? 0) * (this.#queue?.slots ?? 0);
    return {
      running: works.length,
      queued: this.#queue?.waiting.size ?? 0,
      queuedPromptTokens: this.#queuedPromptTokens,
      kvCacheUse: cells === 0 ? 0 : Math.min(1, used / cells),
    };
  }

  dispose(): Promise<void> {
    return this.#life.dispose();
  }

  async #stop(why: Failure): Promise<void> {
    const { waiting = [], running = new Map<Work, number>() } = this.#queue ?? {};
    for (const { run } of [...waiting, ...running.keys()]) run.abort(why);
    await this.#server?.dispose();
    await Promise.all(this.#running);
  }

  #chatOf(job: Job): Chat | Failure {
    if (this.#life.over) return this.#life.over;
    return this.#loaded ? chatOf(job, this.#loaded.standing) : failure('ENGINE_FAILED', 'no model is loaded');
  }

  #enqueue(work: Work): void {
    const why = work.run.aborted ?? this.#life.over;
    if (!why && this.#queue) return this.#queue.add(work);
    this.#queuedPromptTokens -= work.promptTokens;
    work.run.end(why ?? failure('ENGINE_FAILED', 'no model is loaded'));
  }

  #heed(work: Work | undefined): void {
    if (!work?.run.aborted) return;
    if (this.#queue?.leave(work)) {
      this.#queuedPromptTokens -= work.promptTokens;
      work.run.end(work.run.aborted);
    } else work.call?.exchange.cut();
  }

  #start(server: OllamaServer, slot: number, work: Work): void {
    this.#queuedPromptTokens -= work.promptTokens;
    work.run.begin(slot);
    void this.#tracked(
      this.#answer(server, work).then(({ outcome, told }) => {
        this.#queue?.free(work);
        work.run.end(outcome, told);
        this.#queue?.handOn();
      }),
    );
  }

  /** Never rejects. The slot is free when the connection is closed, and not before. */
  async #answer(server: OllamaServer, work: Work): Promise<Ended> {
    try {
      const call = server.begin();
      work.call = call;
      try {
        return await readAnswer(call, work);
      } finally {
        await server.end(call);
      }
    } catch (thrown) {
      if (work.run.aborted) return { outcome: work.run.aborted };
      const outcome = failureFrom(thrown);
      this.#doubt(outcome);
      return { outcome };
    }
  }

  /** A failure that may mean that the server is gone is reason enough to look. */
  #doubt({ reason }: Failure): void {
    if (reason === 'DRAINING' || reason === 'ENGINE_CRASHED') this.#life.doubt();
  }

  async #tracked<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }
}
