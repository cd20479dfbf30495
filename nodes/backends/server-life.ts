/**
 * The life of a backend whose engine is a server outside of this process. It ends once, because the server is lost or
 * because it is disposed, and takes nothing from then on.
 */
import type { Failure } from './job-run.ts';
import { failure } from './job-run.ts';
import { ServerWatch } from './server-watch.ts';

export class ServerLife {
  readonly #stop: (why: Failure) => Promise<void>;
  readonly #watch: ServerWatch;
  #onLost: (message: string) => void = () => {};
  #over: Failure | undefined;

  /**
   * @param probe rejects with a Fault where the server does not answer
   * @param stop ends what runs, and lets go of the server; resolves when all of it is over
   */
  constructor(probe: () => Promise<unknown>, stop: (why: Failure) => Promise<void>) {
    this.#stop = stop;
    this.#watch = new ServerWatch(probe, (message) => void this.#lose(message));
  }

  /** Why nothing more is taken; undefined while something is. */
  get over(): Failure | undefined {
    return this.#over;
  }

  onLost(listener: (message: string) => void): void {
    this.#onLost = listener;
  }

  /** From now on the server is looked after. */
  watch(): void {
    this.#watch.start();
  }

  /** Something has failed as if the server had gone. */
  doubt(): void {
    this.#watch.look();
  }

  dispose(): Promise<void> {
    return this.#end(failure('DRAINING', 'the engine is shutting down'));
  }

  async #lose(message: string): Promise<void> {
    if (this.#over) return;
    await this.#end(failure('ENGINE_CRASHED', message));
    this.#onLost(message);
  }

  async #end(why: Failure): Promise<void> {
    this.#over ??= why;
    this.#watch.stop();
    await this.#stop(this.#over);
  }
}
