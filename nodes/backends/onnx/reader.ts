/** Reads the texts of all that ask at the same time, a batch after the other. */

import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import type { BatchLimits } from './batch.ts';
import { nextBatch } from './batch.ts';

type Tokens = readonly number[];

/** @returns the numbers of each text; undefined for one that has none to be used */
export type ReadBatch = (texts: readonly Tokens[]) => Promise<(Float32Array | undefined)[]>;

/** Texts of one asker that wait, the shortest first, and what became of the others. */
interface List {
  readonly waiting: Text[];
  readonly results: Float32Array[];
  left: number;
  readonly end: (result: readonly Float32Array[] | Failure) => void;
}

interface Text {
  readonly tokens: Tokens;
  /** Its place among those of its list. */
  readonly index: number;
  readonly list: List;
}

export class BatchReader {
  readonly #readBatch: ReadBatch;
  readonly #limits: BatchLimits;
  /** Whose turn is next comes first. */
  readonly #lists = new Set<List>();
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(readBatch: ReadBatch, limits: BatchLimits) {
    this.#readBatch = readBatch;
    this.#limits = limits;
  }

  /** @returns the numbers of each in their order, or why there are none; never rejects */
  async read(texts: readonly Tokens[], signal: AbortSignal): Promise<readonly Float32Array[] | Failure> {
    if (signal.aborted) return CANCELLED;
    if (this.#closed) return SHUTTING_DOWN;
    const { promise, resolve } = Promise.withResolvers<readonly Float32Array[] | Failure>();
    const list: List = { waiting: [], results: [], left: texts.length, end: resolve };
    list.waiting.push(...texts.map((tokens, index) => ({ tokens, index, list })));
    list.waiting.sort((a, b) => a.tokens.length - b.tokens.length);
    const cancel = () => this.#end(list, CANCELLED);
    signal.addEventListener('abort', cancel, { once: true });
    this.#lists.add(list);
    this.#working ??= this.#work();
    const result = await promise;
    signal.removeEventListener('abort', cancel);
    return result;
  }

  /** Ends what waits; resolves when nothing is being read any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const list of this.#lists) this.#end(list, SHUTTING_DOWN);
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#lists.size > 0) {
      const batch = nextBatch(
        [...this.#lists].map(({ waiting }) => waiting),
        this.#limits,
      );
      const results = await this.#resultsOf(batch);
      for (const [position, text] of batch.entries()) this.#settle(text, results[position] ?? NO_NUMBERS);
      this.#rotate(batch);
    }
    this.#working = undefined;
  }

  /** Where a batch fails, its texts are read one by one, so that one asker's text is not the end of another. */
  async #resultsOf(batch: readonly Text[]): Promise<(Float32Array | Failure | undefined)[]> {
    try {
      return await this.#readBatch(batch.map(({ tokens }) => tokens));
    } catch (error) {
      if (batch.length === 1) {
        const name = error instanceof Error ? error.name : typeof error;
        return [failure('ENGINE_FAILED', `the engine broke at a text (${name})`)];
      }
      const alone = [];
      for (const text of batch) alone.push(...(await this.#resultsOf([text])));
      return alone;
    }
  }

  #settle({ index, list }: Text, result: Float32Array | Failure): void {
    if ('reason' in result) return this.#end(list, result);
    list.results[index] = result;
    list.left--;
    if (list.left === 0) this.#end(list, list.results);
  }

  #end(list: List, result: readonly Float32Array[] | Failure): void {
    this.#lists.delete(list);
    list.end(result);
  }

  /** Who had a turn goes behind those who wait for one. */
  #rotate(batch: readonly Text[]): void {
    for (const { list } of batch) if (this.#lists.delete(list)) this.#lists.add(list);
  }
}

const CANCELLED = failure('CANCELLED', 'cancelled');
const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
const NO_NUMBERS = failure('ENGINE_FAILED', 'what the engine made of a text is 0 or no number');
