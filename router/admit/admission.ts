/**
 * How a request comes to a slot: what can never be served is refused at once; who finds a slot of the model it is best
 * served by, and nobody waiting for it, takes it; everybody else stands in that model's line. A model whose line is full
 * is out of the choice.
 */
import type { Fault, Reason } from '../../proto/contract/faults.ts';
import type { ChatRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import { Priority as ChatPriority } from '../../proto/gen/infermesh/v1/inference.ts';
import type { Delivered } from '../../proto/gen/infermesh/v1/types.ts';
import type { Clock } from '../clock.ts';
import type { Claimed, Fleet } from '../fleet/fleet.ts';
import type { NodeLink } from '../fleet/node-link.ts';
import type { Sessions } from '../fleet/sessions.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Identified } from '../request.ts';
import { targetOf } from '../request.ts';
import type { Ask, Considered, Decision, Target } from '../select/candidate.ts';
import { decide } from '../select/decide.ts';
import { isTarget } from '../select/filters.ts';
import { refusalFault } from '../select/refusal.ts';
import { couldServe } from '../select/worth.ts';
import type { Priority } from './line.ts';
import type { Look, WaitingRoom, Who } from './waiting-room.ts';

/** Requests that may wait for each slot that could serve them; the 16 clients of a 4-slot node are all served. */
const WAITING_PER_SLOT = 4;

/** How long a stream that lost its node waits for another to be there, in milliseconds. */
const RETURN_MS = 10_000;
/** After so long, where nobody else was found, a node that failed the stream is as good as none. */
const FORGIVE_MS = 2000;

/** Why there is nobody for an answer that has begun, and may soon be: none is there, or all want to be left alone. */
const PASSING: ReadonlySet<Reason> = new Set(['NO_NODE', 'QUEUE_FULL']);

/** An answer that has begun and is to go on behind what was delivered. */
export interface Resumption {
  readonly model: string;
  readonly tokenizerDigest: string;
  readonly delivered: Pick<Delivered, 'tokens' | 'text' | 'tokenIds'>;
  /** When its node was lost, by the router's clock. */
  readonly since: number;
}

/** What a request that has been tried already wants of its next slot. */
export interface Wish {
  /** Nodes that failed it, each while this link of theirs lasts. */
  readonly failed: ReadonlyMap<string, unknown>;
  readonly resumption: Resumption | undefined;
  /** The slot is for an attempt beside another, one of which will be given up. */
  readonly hedge?: boolean;
}

const NOTHING_TRIED: Wish = { failed: new Map(), resumption: undefined };

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
  readonly wish: Wish;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    parts.fleet.onChange(() => parts.room.lookAgain());
  }

  /**
   * Refuses a request before it is classified where that could change nothing: every line that it might stand in is full.
   * Of what else would be wrong with it, it hears when there is room.
   * @throws Fault QUEUE_FULL
   */
  shed(chat: ChatRequest, tenant = ''): void {
    const { fleet, room } = this.#parts;
    if (room.size === 0) return;
    const place = { tenant, priority: PRIORITIES[chat.priority] ?? 'normal' };
    const slots = slotsByModel(fleet.links, targetOf(chat));
    let full: string | undefined;
    for (const [model, count] of slots) {
      if (room.hasRoom(model, WAITING_PER_SLOT * count, place)) return;
      full = model;
    }
    if (full !== undefined) throw room.full(full);
  }

  /**
   * @param onWaiting called if there is no slot at once
   * @throws Fault why nobody can serve it, QUEUE_FULL, or the signal's reason
   */
  async admit(request: Identified, signal: AbortSignal, onWaiting: () => void, wish = NOTHING_TRIED): Promise<Admitted> {
    const { room } = this.#parts;
    const seeker = this.#seeker(request, wish);
    if (wish.resumption) return this.#readmit(seeker, wish.resumption, signal, onWaiting);
    const crowded = new Set<string>();
    for (;;) {
      const choice = this.#decide(seeker, crowded, room.lengthOf.bind(room));
      // What no wait can help is told at once, unless a wait could and its line is full.
      if (choice.type === 'refused') throw crowded.size > 0 ? room.full(lastOf(crowded)) : choice.fault;
      const line = modelOf(choice);
      // Nobody overtakes those who wait for the same.
      if (choice.type === 'chosen' && !room.hasLine(line)) return this.#take(choice);
      const who = whoOf(seeker, line, choice.decision);
      const most = WAITING_PER_SLOT * slotsOf(line, choice.decision);
      if (room.hasRoom(line, most, who)) {
        onWaiting();
        const admitted = room.wait(line, who, () => this.#look(seeker, crowded), signal, most);
        // Whoever stands before it may have no use for the slot that it saw.
        if (choice.type === 'chosen') room.lookAgain();
        else if (!signal.aborted) this.#want(choice.awaited);
        return admitted;
      }
      crowded.add(line);
    }
  }

  /** A slot that is free now, for which nobody waits; undefined when there is none. */
  admitNow(request: Identified, wish: Wish): Admitted | undefined {
    const choice = this.#decide(this.#seeker(request, wish), new Set(), nobody);
    return choice.type === 'chosen' && !this.#parts.room.hasLine(modelOf(choice)) ? this.#take(choice) : undefined;
  }

  /** Whether another node that serves now has the model of the one that was chosen. */
  hasOther({ chosen: { candidate } }: Admitted): boolean {
    return this.#parts.fleet.hasOther(candidate.node, candidate.model.name);
  }

  /**
   * Another node for an answer that has begun. It is not held up by a full line, and waits a while for a node that is
   * just coming back, which a request that has nothing to lose would not.
   */
  #readmit(seeker: Seeker, { model, since }: Resumption, signal: AbortSignal, onWaiting: () => void): Promise<Admitted> {
    const { room, clock } = this.#parts;
    const look = (): Look<Admitted> => {
      const seen = this.#look(seeker, new Set());
      const hopeful = seen.type === 'refused' && PASSING.has(seen.fault.reason) && clock.now() - since < RETURN_MS;
      return hopeful ? { type: 'busy' } : seen;
    };
    const seen = look();
    if (seen.type === 'admitted') return Promise.resolve(seen.value);
    if (seen.type === 'refused') return Promise.reject(seen.fault);
    onWaiting();
    const stops = [FORGIVE_MS, RETURN_MS].map((ms) => clock.after(Math.max(0, since + ms - clock.now()), () => room.lookAgain()));
    return room.wait(model, migrating(seeker), look, signal).finally(() => {
      for (const stop of stops) stop();
    });
  }

  /** What `admit` would choose now, without choosing it. */
  preview(request: Identified): Decision {
    const { fleet, ledger, room } = this.#parts;
    const candidates = fleet.candidates((model) => room.lengthOf(model));
    return decide(candidates, this.#ask(this.#seeker(request, NOTHING_TRIED), new Set()), ledger.knowledge());
  }

  /** Chooses, and claims what it chose in the same turn, so that nobody comes between. */
  #look(seeker: Seeker, crowded: ReadonlySet<string>): Look<Admitted> {
    // Who looks stands at the head of its line.
    const choice = this.#decide(seeker, crowded, nobody);
    if (choice.type === 'chosen') return { type: 'admitted', value: this.#take(choice) };
    if (choice.type === 'refused') return choice;
    this.#want(choice.awaited);
    return { type: 'busy' };
  }

  /** Who waits for a model that is not in memory has it loaded. */
  #want({ candidate: { node, model, cold } }: Considered): void {
    const { fleet, room } = this.#parts;
    if (cold) fleet.onDemand.wanted(node, model.name, Math.max(1, room.lengthOf(model.name)));
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

  #seeker(request: Identified, wish: Wish): Seeker {
    const { ledger, sessions, fleet } = this.#parts;
    const { tenant, needs, chat, prefixes } = request;
    return {
      request,
      mayExplore: !chat.withoutExploration && ledger.mayExplore(tenant, needs.policy),
      session: request.session === undefined ? undefined : sessions.last(request.session),
      cachedTokens: fleet.locality.lookup(prefixes),
      wish,
    };
  }

  #ask({ request: { needs, deadlineAt }, wish, session, ...rest }: Seeker, crowded: ReadonlySet<string>): Ask {
    const remainingMs = deadlineAt - this.#parts.clock.now();
    const { resumption } = wish;
    return {
      ...needs,
      ...rest,
      ...(session ? { session } : {}),
      ...(resumption ? { resume: resumption, target: { type: 'model', name: resumption.model } } : {}),
      tried: this.#tried(wish),
      hedge: wish.hedge,
      crowded,
      remainingMs,
    };
  }

  /** A node that came back is another process, which has failed nobody. */
  #tried({ failed, resumption }: Wish): ReadonlySet<string> {
    const { fleet, clock } = this.#parts;
    if (failed.size === 0 || (resumption && clock.now() - resumption.since >= FORGIVE_MS)) return NOBODY;
    return new Set([...failed].filter(([node, link]) => fleet.get(node) === link).map(([node]) => node));
  }

  #take({ chosen, decision, ask }: Extract<Choice, { type: 'chosen' }>): Admitted {
    const { node, model } = chosen.candidate;
    const { promptTokens, expectedOutputTokens: outputTokens } = ask;
    const claim = this.#parts.fleet.claim(node, { model: model.name, promptTokens, outputTokens });
    return { claim, chosen, decision, ask, [Symbol.dispose]: () => claim[Symbol.dispose]() };
  }
}

const nobody = () => 0;
const NOBODY: ReadonlySet<string> = new Set();

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

/** Of every model that a request may be answered by, on all nodes, also those that could not serve it. */
function slotsByModel(links: readonly NodeLink[], target: Target): ReadonlyMap<string, number> {
  const slots = new Map<string, number>();
  for (const { models } of links) {
    for (const model of models) {
      if (isTarget(model, target)) slots.set(model.name, (slots.get(model.name) ?? 0) + model.slots);
    }
  }
  return slots;
}

const PRIORITIES: Readonly<Record<number, Priority>> = {
  [ChatPriority.PRIORITY_LOW]: 'low',
  [ChatPriority.PRIORITY_HIGH]: 'high',
};

/** How it waits in the line of a model. */
function whoOf({ request }: Seeker, model: string, { considered }: Decision): Who {
  const { tenant = '', chat, needs, deadlineAt } = request;
  // Alone on the engine: what others read beside it may have ended by then.
  const readingMs = considered
    .filter((one) => one.candidate.model.name === model && couldServe(one))
    .map(({ candidate, estimate }) => (estimate.firstTokenMs - estimate.waitMs) / (candidate.running + 1));
  return {
    tenant,
    priority: PRIORITIES[chat.priority] ?? 'normal',
    cost: needs.promptTokens + needs.expectedOutputTokens,
    migrating: false,
    deadlineAt,
    firstTokenMs: Math.min(...readingMs),
  };
}

/** What has been delivered of a stream is worth waiting for as long as its deadline lets it. */
function migrating({ request }: Seeker): Who {
  const { tenant = '', deadlineAt } = request;
  return { tenant, priority: 'high', cost: 0, migrating: true, deadlineAt, firstTokenMs: 0 };
}

function lastOf(crowded: ReadonlySet<string>): string {
  return [...crowded].at(-1) as string;
}
