/** What the router has learnt of its models, on disk: read at the start, written each minute and at the end. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Fault } from '../proto/contract/faults.ts';
import type { Clock } from './clock.ts';
import { Bandit } from './select/bandit/bandit.ts';

const SAVE_INTERVAL_MS = 60_000;

/** @returns a new one where there is no file yet. @throws Fault INVALID_REQUEST when the file can't be used */
export function readLearned(path: string | undefined): Bandit {
  if (path === undefined || !existsSync(path)) return new Bandit();
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? 'it is not JSON';
    throw new Fault('INVALID_REQUEST', `cannot read --learned ${path}: ${why}`);
  }
  return Bandit.restore(content);
}

export class LearnedFile {
  readonly #path: string;
  readonly #bandit: Bandit;
  readonly #onProblem: (message: string) => void;
  readonly #stop: () => void;
  #failing = false;

  /** @param onProblem told once when it can't be written, and again only after it could */
  constructor(path: string, bandit: Bandit, clock: Clock, onProblem: (message: string) => void) {
    this.#path = path;
    this.#bandit = bandit;
    this.#onProblem = onProblem;
    this.#stop = clock.every(SAVE_INTERVAL_MS, () => this.save());
  }

  /** Puts the new file in the old one's place at once, so that a crash leaves one of the two whole. */
  save(): void {
    const unfinished = `${this.#path}.${process.pid}.new`;
    try {
      writeFileSync(unfinished, `${JSON.stringify(this.#bandit.snapshot())}\n`);
      renameSync(unfinished, this.#path);
      this.#failing = false;
    } catch (error) {
      rmSync(unfinished, { force: true });
      if (!this.#failing) this.#onProblem(`cannot write --learned ${this.#path}: ${(error as NodeJS.ErrnoException).code}`);
      this.#failing = true;
    }
  }

  close(): void {
    this.#stop();
    this.save();
  }
}
