/** An engine's state and those who watch it. */
import type { EngineState } from './engine.ts';

export class ObservedState {
  readonly #listeners = new Set<(state: EngineState) => void>();
  #current: EngineState = { type: 'loading', fraction: 0 };

  get current(): EngineState {
    return this.#current;
  }

  /** Nothing follows 'disposed'. */
  set(state: EngineState): void {
    if (this.#current.type === 'disposed') return;
    this.#current = state;
    for (const listener of [...this.#listeners]) listener(state);
  }

  subscribe(listener: (state: EngineState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
