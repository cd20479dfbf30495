/** The canaries of all nodes, one for each model on each; canary.ts tells what one does. */
import { embedsOnly } from '../../proto/contract/embedding.ts';
import type { CanaryOptions } from './canary.ts';
import { Canary } from './canary.ts';
import type { NodeLink } from './node-link.ts';

export class Canaries {
  readonly #options: CanaryOptions;
  readonly #byLink = new Map<NodeLink, Map<string, Canary>>();

  constructor(options: CanaryOptions) {
    this.#options = options;
  }

  /**
   * Looks at a node, several times a second.
   * @param forgiven how long the router itself has stood still
   */
  look(link: NodeLink, now: number, forgiven = 0): void {
    for (const { name, tasks } of link.models) {
      // One that makes vectors has no token to give.
      if (!embedsOnly(tasks)) this.#of(link, name, now).look(now, forgiven);
    }
  }

  /** A token of a request came. */
  gave(link: NodeLink, model: string, now: number): void {
    this.#of(link, model, now).gave(now);
  }

  /** A request is about to be sent. */
  claimed(link: NodeLink, model: string): void {
    this.#byLink.get(link)?.get(model)?.giveWay();
  }

  /** A request has ended there. */
  freed(link: NodeLink, model: string, now: number): void {
    this.#of(link, model, now).idle(now);
  }

  /** A request got nothing for too long. */
  stalled(link: NodeLink, model: string, now: number): void {
    this.#of(link, model, now).stalled(now);
  }

  left(link: NodeLink): void {
    for (const canary of this.#byLink.get(link)?.values() ?? []) canary.giveWay();
    this.#byLink.delete(link);
  }

  #of(link: NodeLink, model: string, now: number): Canary {
    const canaries = this.#byLink.get(link) ?? new Map<string, Canary>();
    this.#byLink.set(link, canaries);
    const canary = canaries.get(model) ?? new Canary(link, model, now, this.#options);
    canaries.set(model, canary);
    return canary;
  }
}
