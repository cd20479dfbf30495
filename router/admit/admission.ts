/**
 * How a request comes to a slot: what can never be served is refused at once; who finds a slot free, and nobody waiting
 * for the same, takes it; everybody else stands in line.
 */
import type { Fault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';
import type { Claimed, Fleet } from '../fleet/fleet.ts';
import type { Identified } from '../request.ts';
import { askOf } from '../request.ts';
import type { Ask, Considered, Decision } from '../select/candidate.ts';
import { couldServe, decide } from '../select/decide.ts';
import { refusalFault } from '../select/refusal.ts';
import type { Look, WaitingRoom } from './waiting-room.ts';

/** Requests that may wait for each slot that could serve them; the 16 clients of a 4-slot node are all served. */
const WAITING_PER_SLOT = 4;

/** A request with a slot to run in; disposing gives the slot back. */
export interface Admitted extends Disposable {
  readonly claim: Claimed;
  readonly chosen: Considered;
  readonly decision: Decision;
}

/** What could be done with a request now; nothing is claimed yet. */
type Choice =
  | Chosen
  | { readonly type: 'busy'; readonly decision: Decision }
  | { readonly type: 'refused'; readonly fault: Fault };

interface Chosen {
  readonly type: 'chosen';
  readonly decision: Decision;
  readonly chosen: Considered;
  readonly ask: Ask;
}

export interface AdmissionParts {
  readonly fleet: Fleet;
  readonly room: WaitingRoom<Admitted>;
  readonly clock: Clock;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    parts.fleet.onChange(() => parts.room.lookAgain());
  }

  /**
   * @param onWaiting called if there is no slot at once
   * @throws Fault why nobody can serve it, QUEUE_FULL, or the signal's reason
   */
  async admit(request: Identified, signal: AbortSignal, onWaiting: () => void): Promise<Admitted> {
    const { room } = this.#parts;
    const choice = this.#decide(request);
    // What no wait can help is told at once, however long the line.
    if (choice.type === 'refused') throw choice.fault;
    const line = lineOf(request);
    // Nobody overtakes those who wait for the same.
    if (choice.type === 'chosen' && !room.hasLine(line)) return this.#take(choice);
    onWaiting();
    return room.wait(line, WAITING_PER_SLOT * slotsIn(choice.decision), () => this.#look(request), signal);
  }

  /** What `admit` would choose now, without choosing it. */
  preview(request: Identified): Decision {
    const { fleet, clock } = this.#parts;
    return decide(fleet.candidates(), askOf(request, clock.now()));
  }

  /** Chooses, and claims what it chose in the same turn, so that nobody comes between. */
  #look(request: Identified): Look<Admitted> {
    const choice = this.#decide(request);
    return choice.type === 'chosen' ? { type: 'admitted', value: this.#take(choice) } : choice;
  }

  #decide(request: Identified): Choice {
    const ask = askOf(request, this.#parts.clock.now());
    const decision = decide(this.#parts.fleet.candidates(), ask);
    const { chosen } = decision;
    if (chosen) return { type: 'chosen', decision, chosen, ask };
    if (decision.considered.some(couldServe)) return { type: 'busy', decision };
    return { type: 'refused', fault: refusalFault(decision, ask) };
  }

  #take({ chosen, decision, ask }: Chosen): Admitted {
    const { node, model } = chosen.candidate;
    const { promptTokens, expectedOutputTokens: outputTokens } = ask;
    const claim = this.#parts.fleet.claim(node, { model: model.name, promptTokens, outputTokens });
    return { claim, chosen, decision, [Symbol.dispose]: () => claim[Symbol.dispose]() };
  }
}

/** Who waits for the same thing stands in one line. */
function lineOf({ needs: { target, task, structured } }: Identified): string {
  const what = target.type === 'auto' ? task : target.type === 'model' ? target.name : String(target.tier);
  return `${target.type}:${what}${structured ? ':structured' : ''}`;
}

/** All slots of those that could serve, taken or not. */
function slotsIn({ considered }: Decision): number {
  return considered.filter(couldServe).reduce((sum, { candidate }) => sum + candidate.model.slots, 0);
}
