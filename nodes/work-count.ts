/** How much is at work, by model. Pure. */

export class WorkCount {
  readonly #ofModel: Map<string, number>;
  #total: number;

  constructor(ofModel: ReadonlyMap<string, number> = new Map()) {
    this.#ofModel = new Map(ofModel);
    this.#total = [...ofModel.values()].reduce((sum, count) => sum + count, 0);
  }

  get total(): number {
    return this.#total;
  }

  of(model: string): number {
    return this.#ofModel.get(model) ?? 0;
  }

  add(model: string, more: 1 | -1): void {
    this.#total += more;
    const count = this.of(model) + more;
    if (count === 0) this.#ofModel.delete(model);
    else this.#ofModel.set(model, count);
  }

  copy(): WorkCount {
    return new WorkCount(this.#ofModel);
  }
}
