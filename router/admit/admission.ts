/**
 * How a request comes to a slot: what can never be served is refused at once; who finds a slot of the model it is best
 * served by, and nobody waiting for it, takes it; everybody else stands in that model's line. A model whose line is full
 * is out of the choice.
 */
import type { Fault } from '../../proto/contract/faults.ts';
import type { Clock } from '../clock.ts';
import type { Claimed, Fleet } from '../fleet/fleet.ts';
import type { Sessions } from '../fleet/sessions.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Identified } from '../request.ts';
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
  readonly ask: Ask;
}

/** What could be done with a request now; nothing is claimed yet. */
type Choice =
  | { readonly type: 'chosen'; readonly decision: Decision; readonly chosen: Considered; readonly ask: Ask }
  | { readonly type: 'awaited'; readonly decision: Decision; readonly awaited: Considered }
  | { readonly type: 'refused'; readonly fault: Fault };

export interface AdmissionParts {
  readonly fleet: Fleet;
  readonly room: WaitingRoom<Admitted>;
  readonly clock: Clock;
  readonly ledger: Pick<Ledger, 'knowledge' | 'mayExplore'>;
  readonly sessions: Pick<Sessions, 'last'>;
}

/** What stays the same for a request however often it looks. */
interface Seeker {
  readonly request: Identified;
  readonly mayExplore: boolean;
  readonly session: Ask['session'];
  readonly cachedTokens: Ask['cachedTokens'];
  readonly tried: ReadonlySet<string>;
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
    const seeker = this.#seeker(request);
    const crowded = new Set<string>();
    for (;;) {
      const choice = this.#decide(seeker, crowded, room.lengthOf.bind(room));
      // What no wait can help is told at once, unless a wait could and its line is full.
      if (choice.type === 'refused') throw crowded.size > 0 ? room.full(lastOf(crowded)) : choice.fault;
      const line = modelOf(choice);
      // Nobody overtakes those who wait for the same.
      if (choice.type === 'chosen' && !room.hasLine(line)) return this.#take(choice);
      if (room.lengthOf(line) < WAITING_PER_SLOT * slotsOf(line, choice.decision)) {
        onWaiting();
        return room.wait(line, () => this.#look(seeker, crowded), signal);
      }
      crowded.add(line);
    }
  }

  /** What `admit` would choose now, without choosing it. */
  preview(request: Identified): Decision {
    const { fleet, ledger, room } = this.#parts;
    const candidates = fleet.candidates((model) => room.lengthOf(model));
    return decide(candidates, this.#ask(this.#seeker(request), new Set()), ledger.knowledge());
  }

  /** Chooses, and claims what it chose in the same turn, so that nobody comes between. */
  #look(seeker: Seeker, crowded: ReadonlySet<string>): Look<Admitted> {
    // Who looks stands at the head of its line.
    const choice = this.#decide(seeker, crowded, nobody);
    if (choice.type === 'chosen') return { type: 'admitted', value: this.#take(choice) };
    return choice.type === 'awaited' ? { type: 'busy' } : choice;
  }

  #decide(seeker: Seeker, crowded: ReadonlySet<string>, ahead: (model: string) => number): Choice {
    const { fleet, ledger } = this.#parts;
    const ask = this.#ask(seeker, crowded);
    const decision = decide(fleet.candidates(ahead), ask, ledger.knowledge());
    const { chosen, awaited } = decision;
    if (chosen) return { type: 'chosen', decision, chosen, ask };
    if (awaited) return { type: 'awaited', decision, awaited };
    return { type: 'refused', fault: refusalFault(decision, ask) };
  }

  #seeker(request: Identified): Seeker {
    const { ledger, sessions, fleet } = this.#parts;
    const { tenant, needs, chat, prefixes } = request;
    return {
      request,
      mayExplore: !chat.withoutExploration && ledger.mayExplore(tenant, needs.policy),
      session: request.session === undefined ? undefined : sessions.last(request.session),
      cachedTokens: fleet.locality.lookup(prefixes),
      tried: new Set(),
    };
  }

  #ask({ request: { needs, deadlineAt }, ...rest }: Seeker, crowded: ReadonlySet<string>): Ask {
    const { session, ...others } = rest;
    const remainingMs = deadlineAt - this.#parts.clock.now();
    return { ...needs, ...others, ...(session ? { session } : {}), crowded, remainingMs };
  }

  #take({ chosen, decision, ask }: Extract<Choice, { type: 'chosen' }>): Admitted {
    const { node, model } = chosen.candidate;
    const { promptTokens, expectedOutputTokens: outputTokens } = ask;
    const claim = this.#parts.fleet.claim(node, { model: model.name, promptTokens, outputTokens });
    return { claim, chosen, decision, ask, [Symbol.dispose]: () => claim[Symbol.dispose]() };
  }
}

const nobody = () => 0;

function modelOf(choice: Extract<Choice, { decision: Decision }>): string {
  const { candidate } = choice.type === 'chosen' ? choice.chosen : choice.awaited;
  return candidate.model.name;
}

/** All slots of the model on nodes that could serve the request, taken or not. */
function slotsOf(model: string, { considered }: Decision): number {
  return considered
    .filter((one) => one.candidate.model.name === model && couldServe(one))
    .reduce((sum, { candidate }) => sum + candidate.model.slots, 0);
}

function lastOf(crowded: ReadonlySet<string>): string {
  return [...crowded].at(-1) as string;
}
