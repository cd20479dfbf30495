/** Something kept for each model of each node, until the node is forgotten. */
export class PerNode<T> {
  readonly #nodes = new Map<string, Map<string, T>>();
  readonly #make: () => T;

  constructor(make: () => T) {
    this.#make = make;
  }

  /** Pairs of a node and a model that are held. */
  get size(): number {
    let size = 0;
    for (const models of this.#nodes.values()) size += models.size;
    return size;
  }

  find(node: string, model: string): T | undefined {
    return this.#nodes.get(node)?.get(model);
  }

  /** Begun if there is none. */
  of(node: string, model: string): T {
    const models = this.#nodes.get(node) ?? new Map<string, T>();
    this.#nodes.set(node, models);
    const one = models.get(model) ?? this.#make();
    models.set(model, one);
    return one;
  }

  forget(node: string): void {
    this.#nodes.delete(node);
  }
}
