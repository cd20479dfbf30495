/**
 * Which of the nodes that say they serve are believed: their breakers, canaries and damping together, each told here of
 * what happens to a node, and asked when somebody is to be chosen.
 */
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import { Breakers } from '../breakers/breakers.ts';
import type { Clock } from '../clock.ts';
import { Canaries } from './canaries.ts';
import type { Standing } from './candidates.ts';
import { Damping } from './damping.ts';
import type { NodeLink } from './node-link.ts';
import { Rests } from './rests.ts';

export interface HealthOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly tell: Tell<FleetEvent>;
  /** The nodes that are here, by their id. */
  readonly links: ReadonlyMap<string, NodeLink>;
  /** A node may be let in, or is let in no more. */
  readonly onChange: () => void;
}

/** Hears of one request on a node, until disposed. */
export interface Attendance extends Disposable {
  /** A token came. */
  gave(): void;
  /** Its engine wants to be left alone for so long. */
  rests(ms: number): void;
}

type OfModel = (model: string) => boolean;

export class Health {
  readonly #options: HealthOptions;
  readonly #damping = new Damping();
  readonly #canaries: Canaries;
  readonly #rests: Rests;
  readonly breakers: Breakers;

  constructor(options: HealthOptions) {
    const { clock, random, tell, links, onChange } = options;
    this.#options = options;
    this.#canaries = new Canaries({ random, tell, onChange });
    this.#rests = new Rests(clock, onChange);
    this.breakers = new Breakers({
      clock,
      random,
      tell,
      onPermit: onChange,
      servers: (model) => this.#servers(model),
      onStall: (node, model) => {
        const link = links.get(node);
        if (link) this.#canaries.stalled(link, model, clock.now());
      },
    });
  }

  joined({ id, hello }: NodeLink): void {
    this.breakers.joined(id, hello.epoch);
    const damped = this.#damping.joined(id, this.#options.clock.now());
    if (damped) this.#options.tell({ type: 'node_damped', node: id, ...damped });
  }

  left(link: NodeLink): void {
    this.#canaries.left(link);
    this.#rests.left(link);
    this.breakers.left(link.id);
    this.#damping.left(link.id, this.#options.clock.now());
  }

  /**
   * Looks after all nodes, several times a second.
   * @param forgiven how long the router itself has stood still, in milliseconds
   */
  look(now: number, forgiven: number): void {
    for (const link of this.#options.links.values()) this.#canaries.look(link, now, forgiven);
    if (this.#damping.released(now)) this.#options.onChange();
  }

  /** A request has been chosen for a node, and is about to be sent. */
  attend(link: NodeLink, model: string): Attendance {
    const { links, clock } = this.#options;
    const isHere = () => links.get(link.id) === link;
    this.#canaries.claimed(link, model);
    const promise = this.breakers.promise(link.id, model);
    return {
      gave: () => {
        if (!isHere()) return;
        this.#canaries.gave(link, model, clock.now());
        this.breakers.gave(link.id, model);
      },
      rests: (ms) => {
        if (isHere()) this.#rests.wanted(link, model, ms);
      },
      [Symbol.dispose]: () => {
        promise[Symbol.dispose]();
        if (isHere()) this.#canaries.freed(link, model, clock.now());
      },
    };
  }

  /** For all nodes at one moment: what is the same for a model's nodes is found once. */
  standings(): (link: NodeLink, model: string) => Standing {
    const now = this.#options.clock.now();
    const mayHold = remembering((model) => this.#mayHold(model));
    const hasTrusted = remembering((model) => this.breakers.hasTrusted(model));
    return (link, model) => {
      const barred = this.breakers.barred(link.id, model, hasTrusted);
      const restsMs = this.#rests.leftMs(link, model);
      if (link.wedged.has(model)) return { trouble: 'wedged', barred, restsMs };
      return { trouble: this.#damping.holds(link.id, now) && mayHold(model) ? 'flapping' : undefined, barred, restsMs };
    };
  }

  /** Who could be given work for a model now, were it not for breakers. */
  *#servers(model: string): Iterable<string> {
    const now = this.#options.clock.now();
    const mayHold = this.#damping.holdsAny(now) && this.#mayHold(model);
    for (const link of this.#options.links.values()) {
      if (this.#serves(link, model) && !(mayHold && this.#damping.holds(link.id, now))) yield link.id;
    }
  }

  /** Whether another node is there for a model, is believed and let in by its breakers. */
  hasOther(node: string, model: string): boolean {
    for (const link of this.#options.links.values()) {
      if (link.id !== node && this.#serves(link, model) && this.breakers.permits(link.id, model)) return true;
    }
    return false;
  }

  /** And may be asked now. */
  #serves(link: NodeLink, model: string): boolean {
    return link.serves(model) && this.#rests.leftMs(link, model) === 0;
  }

  /**
   * While most of a model's nodes come and go none is held out for that: the few others could not take it all, and it is
   * hardly the nodes that are to blame.
   */
  #mayHold(model: string): boolean {
    const now = this.#options.clock.now();
    const serving = [...this.#options.links.values()].filter((link) => link.serves(model));
    const held = serving.filter(({ id }) => this.#damping.holds(id, now));
    return held.length <= serving.length / 2;
  }

  /** Leaves no timer. */
  stop(): void {
    this.breakers.stop();
    this.#rests.stop();
  }
}

/** Asks once for each model. */
function remembering(ask: OfModel): OfModel {
  const known = new Map<string, boolean>();
  return (model) => {
    const answer = known.get(model) ?? ask(model);
    known.set(model, answer);
    return answer;
  };
}
