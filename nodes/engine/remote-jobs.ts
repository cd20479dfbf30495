/** The jobs that a child process works on, as their sinks here see them. */
import type { Job, Load, Outcome, Run, Sink } from '../backends/backend.ts';
import type { JobEvent, ToChild } from './protocol.ts';

interface RemoteJob {
  readonly sink: Sink;
  running: boolean;
  tokens: number;
}

const NO_TIMINGS = { queueMs: 0, prefillMs: 0, decodeMs: 0 };

export class RemoteJobs {
  readonly #send: (message: ToChild) => void;
  readonly #jobs = new Map<number, RemoteJob>();
  #nextId = 1;
  #running = 0;
  #queuedPromptTokens = 0;
  #kvCacheUse = 0;

  constructor(send: (message: ToChild) => void) {
    this.#send = send;
  }

  /** Counts are exact at once; what only the child can know is as of its last message. */
  get load(): Load {
    return {
      running: this.#running,
      queued: this.#jobs.size - this.#running,
      queuedPromptTokens: this.#queuedPromptTokens,
      kvCacheUse: this.#kvCacheUse,
    };
  }

  generate(job: Job, sink: Sink): Run {
    const id = this.#nextId++;
    this.#jobs.set(id, { sink, running: false, tokens: job.delivered?.tokens ?? 0 });
    this.#send({ type: 'generate', id, job });
    const steer = (type: 'cancel' | 'pause' | 'resume') => () => {
      if (this.#jobs.has(id)) this.#send({ type, id });
    };
    return { cancel: steer('cancel'), pause: steer('pause'), resume: steer('resume') };
  }

  receive(events: readonly JobEvent[], load: Load): void {
    this.#queuedPromptTokens = load.queuedPromptTokens;
    this.#kvCacheUse = load.kvCacheUse;
    for (const event of events) this.#apply(event);
  }

  /** The child is gone: every job ends with what it had. */
  endAll(outcome: Outcome): void {
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    this.#running = this.#queuedPromptTokens = this.#kvCacheUse = 0;
    for (const { sink, tokens } of jobs) sink.end(outcome, tokens, NO_TIMINGS);
  }

  #apply(event: JobEvent): void {
    const job = this.#jobs.get(event.id);
    if (!job) return;
    switch (event.type) {
      case 'prefilling':
        job.running = true;
        this.#running++;
        job.sink.prefilling(event.slot);
        break;
      case 'delta':
        job.tokens = event.seq + event.tokens;
        job.sink.delta(event.seq, event.tokens, event.text, event.tokenIds);
        break;
      case 'end':
        this.#jobs.delete(event.id);
        if (job.running) this.#running--;
        job.sink.end(event.outcome, event.tokens, event.timings);
    }
  }
}
