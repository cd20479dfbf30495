/**
 * Classes of texts by ONNX Runtime, such as a sentence's intent or domain, with a model of Hugging Face that was trained
 * for them. It answers a chat: with one line of JSON about its last message. Texts of all jobs are read in batches.
 *
 * Runs in a child process, as vectors of texts by ONNX Runtime do.
 */
import { CLASSIFY_TASK } from '../../proto/contract/classes.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason, Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Load, LoadOptions, Run, Sink } from './backend.ts';
import { unusable } from './gguf.ts';
import type { Failure } from './job-run.ts';
import { failure, finish, JobRun } from './job-run.ts';
import type { Classes } from './onnx/classes.ts';
import { answerOf } from './onnx/classes.ts';
import type { Kind, LoadedModel } from './onnx/model.ts';
import { loadOnnx } from './onnx/model.ts';
import { classesIn } from './onnx/outputs.ts';
import { SlotQueue } from './slot-queue.ts';
import { StopFilter } from './text-assembler.ts';

const CLASSES: Kind = {
  output: classesIn,
  reading: (session) => async (texts) => {
    const { values } = await session.run(texts);
    const count = values.length / texts.length;
    const rows = texts.map((_, text) => values.slice(text * count, (text + 1) * count));
    return rows.map((row) => (row.every(Number.isFinite) ? row : undefined));
  },
};

interface Work {
  readonly job: Job;
  readonly run: JobRun;
  readonly cancel: AbortController;
}

export class OnnxClassifier implements Backend {
  #loaded: (LoadedModel & { readonly classes: Classes }) | undefined;
  #queue: SlotQueue<number, Work> | undefined;
  readonly #running = new Set<Promise<void>>();

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const loaded = await loadOnnx(options, CLASSES, progress);
    const { classes } = loaded.files;
    if (classes?.labels.length !== loaded.width) {
      await loaded.session.release();
      const told = `it tells ${loaded.width} classes, and the config.json beside it names ${classes?.labels.length ?? 0}`;
      throw unusable(options.model.path, `${told} in id2label; take the one that the model came with`);
    }
    this.#loaded = { ...loaded, classes };
    this.#queue = new SlotQueue(
      Array.from({ length: options.slots }).keys(),
      (free) => Math.min(...free),
      (slot, work) => this.#start(slot, work),
    );
    // Its one token is there as soon as the text is read.
    return { ...loaded.served, tasks: [CLASSIFY_TASK], decodeTokensPerSecond: loaded.served.prefillTokensPerSecond };
  }

  generate(job: Job, sink: Sink): Run {
    const cancel = new AbortController();
    const run = new JobRun(
      sink,
      () => performance.now(),
      () => this.#heed(work),
      job.delivered?.tokens,
    );
    const work: Work = { job, run, cancel };
    // The caller gets its handle before the first word on the sink.
    setImmediate(() => this.#enqueue(work));
    return run;
  }

  currentLoad(): Load {
    return {
      running: this.#queue?.running.size ?? 0,
      queued: this.#queue?.waiting.size ?? 0,
      queuedPromptTokens: 0,
      kvCacheUse: 0,
    };
  }

  async dispose(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    for (const { run } of [...(this.#queue?.waiting ?? []), ...(this.#queue?.running.keys() ?? [])]) run.abort(SHUTTING_DOWN);
    await loaded?.reader.close();
    await Promise.all(this.#running);
    await loaded?.session.release();
  }

  #enqueue(work: Work): void {
    const { job, run } = work;
    const why = run.aborted ?? (this.#loaded ? refusalOf(job) : SHUTTING_DOWN);
    if (why) run.end(why);
    else this.#queue?.add(work);
  }

  #heed(work: Work): void {
    if (!work.run.aborted) return;
    if (this.#queue?.leave(work)) work.run.end(work.run.aborted);
    else work.cancel.abort();
  }

  #start(slot: number, work: Work): void {
    work.run.begin(slot);
    const running = this.#answer(work).then((end) => {
      this.#queue?.free(work);
      end();
      this.#queue?.handOn();
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** @returns what ends the job, once its slot is free */
  async #answer({ job, run, cancel }: Work): Promise<() => void> {
    const loaded = this.#loaded;
    if (!loaded) return () => run.end(SHUTTING_DOWN);
    const tokens = loaded.tokenizer.tokensOf(job.messages.findLast(({ role }) => role === Role.ROLE_USER)?.text ?? '');
    const read = await loaded.reader.read([tokens], cancel.signal);
    const why = run.aborted ?? ('reason' in read ? read : undefined);
    if (why || 'reason' in read) return () => run.end(why as Failure);
    const filter = new StopFilter(job.stop);
    const answer = answerOf(read[0] as Float32Array, loaded.classes);
    run.token();
    const piece = filter.push(answer, [0]) ?? (filter.matched === undefined ? filter.flush() : undefined);
    // The token is one only in name, and no tokenizer has it.
    if (piece) run.deliver({ ...piece, tokenIds: [] });
    const reason = filter.matched === undefined ? FinishReason.FINISH_REASON_STOP : FinishReason.FINISH_REASON_STOP_STRING;
    const usage = { inputTokens: loaded.tokenizer.countOf(tokens), outputTokens: 1, cachedInputTokens: 0 };
    return () => run.end(finish(reason, usage));
  }
}

function refusalOf({ jsonSchema, delivered }: Job): Failure | undefined {
  if (jsonSchema !== '') return failure('UNSUPPORTED', 'the model answers with the likeliest class, and after no JSON schema');
  if (delivered) return failure('UNSUPPORTED', 'the model cannot go on behind what another one has said');
  return undefined;
}

const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
