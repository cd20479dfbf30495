/**
 * An engine in a child process of its own, so that a native assertion takes down the child and not the node.
 *
 * The states are those of engine.ts. While 'loading' and 'ready' there is a child; while 'crashed' there is a timer
 * that starts the next one. Only the first load may fail for good: it tells the operator of a bad file at once. A load
 * that fails after the engine has once been ready counts as a crash, because what changed may change back.
 */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Fault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { Embedding, Job, Load, LoadOptions, Run, Sink } from '../backends/backend.ts';
import type { Failure } from '../backends/job-run.ts';
import { failure } from '../backends/job-run.ts';
import { BACKOFF, restartDelayMs } from './backoff.ts';
import type { Engine, EngineState } from './engine.ts';
import { LastWords } from './last-words.ts';
import { ObservedState } from './observed-state.ts';
import type { ToChild, ToParent } from './protocol.ts';
import { notReady, refuse } from './refuse.ts';
import type { BackendName } from './registry.ts';
import { RemoteEmbeds } from './remote-embeds.ts';
import { RemoteJobs } from './remote-jobs.ts';

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));
/** What a child gets to stop its jobs and free its memory before it is killed. */
const DISPOSE_GRACE_MS = 2_000;
/** A child that says nothing more of its load for so long hangs: each percent is told, and what warms it up takes minutes. */
const SILENT_LOAD_MS = 600_000;

export interface ChildEngineDeps {
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Calls back once after so many milliseconds. Returns the cancel. */
  readonly after: (ms: number, call: () => void) => () => void;
}

export const REAL_DEPS: ChildEngineDeps = {
  random: Math.random,
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

export class ChildEngine implements Engine {
  readonly #backend: BackendName;
  readonly #options: LoadOptions;
  readonly #deps: ChildEngineDeps;
  readonly #state = new ObservedState();
  readonly #jobs = new RemoteJobs((message) => this.#send(message));
  readonly #embeds = new RemoteEmbeds((message) => this.#send(message));
  readonly #first = Promise.withResolvers<ServedModel>();
  #child: ChildProcess | undefined;
  #cancelRestart: (() => void) | undefined;
  #stopWatching: (() => void) | undefined;
  #started = false;
  #wasReady = false;
  #crashes = 0;
  #crashesInRow = 0;
  #readySince = 0;

  constructor(backend: BackendName, options: LoadOptions, deps: Partial<ChildEngineDeps> = {}) {
    this.#backend = backend;
    this.#options = options;
    this.#deps = { ...REAL_DEPS, ...deps };
    // Who disposes the engine without having started it must not get an unhandled rejection.
    this.#first.promise.catch(() => {});
  }

  get state(): EngineState {
    return this.#state.current;
  }

  get crashes(): number {
    return this.#crashes;
  }

  /** Of the child; undefined while there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  onState(listener: (state: EngineState) => void): () => void {
    return this.#state.subscribe(listener);
  }

  start(): Promise<ServedModel> {
    if (!this.#started) this.#launch();
    return this.#first.promise;
  }

  generate(job: Job, sink: Sink): Run {
    if (this.#state.current.type !== 'ready') return refuse(job, sink, this.#state.current);
    return this.#jobs.generate(job, sink);
  }

  embed(texts: readonly string[], signal: AbortSignal): Promise<Embedding> {
    const { type } = this.#state.current;
    return type === 'ready' ? this.#embeds.embed(texts, signal) : Promise.resolve(notReady(type));
  }

  currentLoad(): Load {
    return this.#jobs.load;
  }

  async dispose(): Promise<void> {
    const ready = this.#state.current.type === 'ready';
    this.#state.set({ type: 'disposed' });
    this.#cancelRestart?.();
    this.#stopWatching?.();
    this.#first.reject(new Fault('ENGINE_FAILED', 'the engine was disposed before it was ready'));
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      // A child that still loads holds nothing that wants an orderly end.
      if (ready) this.#send({ type: 'dispose' });
      else child.kill('SIGKILL');
      const stopWaiting = this.#deps.after(DISPOSE_GRACE_MS, () => child.kill('SIGKILL'));
      await gone;
      stopWaiting();
    }
    this.#endAll(failure('DRAINING', 'the engine is shutting down'));
  }

  #launch(): void {
    if (this.#state.current.type === 'disposed') return;
    this.#started = true;
    this.#state.set({ type: 'loading', fraction: 0 });
    const words = new LastWords();
    const child = fork(WORKER, [], {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => words.push(chunk));
    child.on('message', (message: ToParent) => this.#receive(child, message));
    child.on('error', () => child.kill('SIGKILL'));
    // 'close' comes after the last of the standard error; a child that could not be forked has only 'close' too.
    child.once('close', (code, signal) => {
      const last = words.toString();
      this.#lost(child, `the engine's process ended with ${signal ?? `code ${code}`}${last && `: ${last}`}`);
    });
    this.#send({ type: 'load', backend: this.#backend, options: this.#options });
    this.#watchLoad(child);
  }

  /** From now on, until it is loaded or gone. */
  #watchLoad(child: ChildProcess): void {
    this.#stopWatching?.();
    const hangs = new Fault('ENGINE_FAILED', `the engine has told nothing of its load for ${SILENT_LOAD_MS / 1000} s`);
    this.#stopWatching = this.#deps.after(SILENT_LOAD_MS, () => this.#failed(child, hangs));
  }

  #send(message: ToChild): void {
    // A failed send means a dying child; its end tells the rest.
    if (this.#child?.connected) this.#child.send(message, () => {});
  }

  #receive(child: ChildProcess, message: ToParent): void {
    if (child !== this.#child) return;
    switch (message.type) {
      case 'progress':
        if (this.#state.current.type !== 'loading') break;
        this.#watchLoad(child);
        this.#state.set({ type: 'loading', fraction: message.fraction });
        break;
      case 'loaded':
        this.#stopWatching?.();
        this.#wasReady = true;
        this.#readySince = this.#deps.now();
        this.#state.set({ type: 'ready', model: message.model });
        this.#first.resolve(message.model);
        break;
      case 'failed':
        this.#failed(child, new Fault(message.reason, message.message));
        break;
      case 'embedded':
        this.#embeds.receive(message.id, message.embedding);
        break;
      case 'events':
        this.#jobs.receive(message.events, message.load);
    }
  }

  #failed(child: ChildProcess, fault: Fault): void {
    this.#stopWatching?.();
    if (this.#wasReady) this.#lost(child, fault.message);
    else this.#giveUp(fault);
    child.kill('SIGKILL');
  }

  #giveUp(fault: Fault): void {
    this.#first.reject(fault);
    this.#state.set({ type: 'disposed' });
  }

  /** The child is gone, or as good as gone. */
  #lost(child: ChildProcess, message: string): void {
    if (child !== this.#child) return;
    this.#stopWatching?.();
    this.#child = undefined;
    if (this.#state.current.type === 'disposed') return;
    this.#crashes++;
    if (!this.#wasReady) {
      this.#giveUp(new Fault('ENGINE_FAILED', `${message} while it loaded the model for the first time`));
      return;
    }
    const recovered = this.#state.current.type === 'ready' && this.#deps.now() - this.#readySince >= BACKOFF.recoveredAfterMs;
    this.#crashesInRow = recovered ? 1 : this.#crashesInRow + 1;
    const restartInMs = restartDelayMs(this.#crashesInRow, this.#deps.random());
    this.#cancelRestart = this.#deps.after(restartInMs, () => this.#launch());
    this.#state.set({ type: 'crashed', message, restartInMs });
    this.#endAll(failure('ENGINE_CRASHED', message));
  }

  #endAll(why: Failure): void {
    this.#jobs.endAll(why);
    this.#embeds.endAll(why);
  }
}
