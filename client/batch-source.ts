/** The items of a batch, one at a time, by whoever goes on with it: an item that was asked for is not lost with a call. */
type Came<T> = { readonly result: IteratorResult<T> } | { readonly thrown: unknown };

export class Source<T> {
  readonly #iterator: AsyncIterator<T> | Iterator<T>;
  #asked = false;
  /** What came and nobody has taken yet. */
  #came: Came<T> | undefined;
  #over = false;
  #wake: () => void = () => {};
  #interrupted = false;

  constructor(items: Iterable<T> | AsyncIterable<T>) {
    this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  }

  /** Nothing is left. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Undefined when nothing is left, or when it was interrupted. @throws what the items throw */
  async next(): Promise<T | undefined> {
    this.#interrupted = false;
    if (!this.#over && !this.#asked) this.#ask();
    while (!this.#over && !this.#came && !this.#interrupted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const came = this.#came;
    if (this.#over || this.#interrupted || !came) return undefined;
    this.#asked = false;
    this.#came = undefined;
    if ('thrown' in came) {
      this.#over = true;
      throw came.thrown;
    }
    this.#over = came.result.done === true;
    return this.#over ? undefined : came.result.value;
  }

  /** Whoever waits for the next one waits no longer. */
  interrupt(): void {
    this.#interrupted = true;
    this.#wake();
  }

  /** Nothing more is wanted. */
  async close(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#wake();
    // An iterator that is asked already answers before it hears of its end.
    if (!this.#asked) await this.#iterator.return?.();
    else void Promise.resolve(this.#iterator.return?.()).catch(() => {});
  }

  #ask(): void {
    this.#asked = true;
    const came = (what: Came<T>) => {
      this.#came = what;
      this.#wake();
    };
    Promise.resolve()
      .then(() => this.#iterator.next())
      .then(
        (result) => came({ result }),
        (thrown: unknown) => came({ thrown }),
      );
  }
}
