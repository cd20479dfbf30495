/**
 * llama.cpp by node-llama-cpp: one context with a sequence for each slot, so that llama.cpp decodes all running jobs in
 * one batch. The files of llama-cpp/ are its parts; the library is imported only when a model is loaded.
 *
 * A native assertion ends the process, therefore nodes/engine runs this in a child.
 */
import type { LlamaContextSequence } from 'node-llama-cpp';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Load, LoadOptions, Outcome, Run, Sink } from './backend.ts';
import { readWeightsHeader } from './gguf.ts';
import { failure, JobRun } from './job-run.ts';
import type { Work } from './llama-cpp/answer.ts';
import { answer } from './llama-cpp/answer.ts';
import { readBeginning } from './llama-cpp/beginning.ts';
import { Grammars, replaysGrammars } from './llama-cpp/grammar.ts';
import { measure } from './llama-cpp/measure.ts';
import type { Loaded } from './llama-cpp/model.ts';
import { loadModel, placed, tokenizerDigest } from './llama-cpp/model.ts';
import { renderPrompt } from './llama-cpp/prompt.ts';
import { bestSlot } from './llama-cpp/sequence.ts';
import { assumedWatts } from './power.ts';
import { servedModel } from './served.ts';
import { SlotQueue } from './slot-queue.ts';

export class LlamaCppBackend implements Backend {
  #loaded: Loaded | undefined;
  #queue: SlotQueue<LlamaContextSequence, Work> | undefined;
  /** Tokens of the last prompt in each slot. */
  readonly #prompts = new Map<LlamaContextSequence, number>();
  readonly #grammars = new Grammars();
  readonly #answers = new Set<Promise<void>>();
  #queuedPromptTokens = 0;
  #disposed = false;

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    await readWeightsHeader(options.model.path);
    const loaded = await loadModel(options, progress);
    const rates = await measure(loaded, loaded.sequences[0]!);
    this.#loaded = loaded;
    this.#queue = new SlotQueue(
      loaded.sequences,
      (free, { tokens }) => bestSlot(loaded.sequences, free, tokens, (slot) => this.#prompts.get(slot) ?? 0),
      (sequence, work) => this.#start(loaded, sequence, work),
    );
    progress(1);
    return servedModel(options, {
      engine: 'llama-cpp',
      engineVersion: loaded.llama.llamaCppRelease.release,
      contextLength: loaded.context.contextSize,
      tokenizerDigest: tokenizerDigest(loaded.model),
      ...rates,
      structuredOutput: true,
      resumes: true,
      resumesStructured: replaysGrammars(loaded.llama),
      ...placed(loaded, loaded.context.memoryUsage.vram),
      watts: options.watts ?? assumedWatts(loaded.threads, loaded.model.gpuLayers),
    });
  }

  generate(job: Job, sink: Sink): Run {
    let work: Work | undefined;
    const run = new JobRun(
      sink,
      () => performance.now(),
      () => this.#leaveQueue(work),
      job.delivered?.tokens,
    );
    const ready = this.#prepare(job, run);
    // The caller gets its handle before the first word on the sink.
    if ('type' in ready) setImmediate(() => run.end(run.aborted ?? ready));
    else {
      work = ready;
      this.#queuedPromptTokens += ready.tokens.length;
      setImmediate(() => this.#enqueue(ready));
    }
    return run;
  }

  currentLoad(): Load {
    const busy = [...(this.#queue?.running.values() ?? [])];
    const cells = (this.#loaded?.context.contextSize ?? 0) * (this.#loaded?.context.totalSequences ?? 0);
    const used = busy.reduce((sum, sequence) => sum + sequence.nextTokenIndex, 0);
    return {
      running: busy.length,
      queued: this.#queue?.waiting.size ?? 0,
      queuedPromptTokens: this.#queuedPromptTokens,
      kvCacheUse: cells === 0 ? 0 : used / cells,
    };
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const { waiting = new Set<Work>(), running = new Map<Work, LlamaContextSequence>() } = this.#queue ?? {};
    for (const work of [...waiting, ...running.keys()]) work.run.abort(SHUTTING_DOWN);
    // Freeing memory under a running decode crashes the process.
    await Promise.all(this.#answers);
    const loaded = this.#loaded;
    this.#loaded = undefined;
    await loaded?.context.dispose();
    await loaded?.model.dispose();
    await loaded?.llama.dispose();
  }

  #prepare(job: Job, run: JobRun): Work | Outcome {
    if (this.#disposed) return SHUTTING_DOWN;
    if (!this.#loaded) return failure('ENGINE_FAILED', 'no model is loaded');
    try {
      const prompt = renderPrompt(this.#loaded, job.messages);
      if ('type' in prompt) return prompt;
      const beginning = readBeginning(this.#loaded, job, prompt);
      if ('type' in beginning) return beginning;
      return { job, run, prompt, beginning, tokens: [...prompt.tokens, ...beginning.tokenIds] };
    } catch (error) {
      return failure('ENGINE_FAILED', `the model's chat template refused the messages (${nameOf(error)})`);
    }
  }

  #enqueue(work: Work): void {
    const why = work.run.aborted ?? (this.#disposed ? SHUTTING_DOWN : undefined);
    if (why || !this.#queue) {
      this.#queuedPromptTokens -= work.tokens.length;
      work.run.end(why ?? SHUTTING_DOWN);
      return;
    }
    this.#queue.add(work);
  }

  #leaveQueue(work: Work | undefined): void {
    if (!work?.run.aborted || !this.#queue?.leave(work)) return;
    this.#queuedPromptTokens -= work.tokens.length;
    work.run.end(work.run.aborted);
  }

  #start(loaded: Loaded, sequence: LlamaContextSequence, work: Work): void {
    this.#queuedPromptTokens -= work.tokens.length;
    if (!work.job.canary) this.#prompts.set(sequence, work.prompt.tokens.length);
    work.run.begin(loaded.sequences.indexOf(sequence));
    const answered = this.#answer(loaded, sequence, work)
      .catch((error: unknown) => failure('ENGINE_FAILED', `the engine broke the request (${nameOf(error)})`))
      .then((outcome) => {
        this.#queue?.free(work);
        work.run.end(outcome);
        this.#answers.delete(answered);
        this.#queue?.handOn();
      });
    this.#answers.add(answered);
  }

  async #answer(loaded: Loaded, sequence: LlamaContextSequence, work: Work): Promise<Outcome> {
    const { job, beginning } = work;
    if (job.jsonSchema === '') return answer(loaded, sequence, work, undefined);
    const grammar = await this.#grammars.behind(loaded, job.jsonSchema, beginning.tokenIds);
    return 'type' in grammar ? grammar : answer(loaded, sequence, work, grammar);
  }
}

const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');

const nameOf = (error: unknown) => (error instanceof Error ? error.name : typeof error);
