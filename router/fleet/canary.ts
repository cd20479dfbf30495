/**
 * Whether nodes that say they serve still give tokens. A node from which nothing has come for 10 s while it was idle is
 * asked for one token, by work of the router's own.
 *
 *   quiet -> asked         nothing came for a while, and nothing is asked of it
 *   asked -> quiet         it answered, or a request needs the engine
 *         -> wedged        it gave nothing for 5 s, or a failure
 *   wedged -> asked        again and again, less and less often
 *          -> quiet        a token came, of whatever
 *
 * Busy is not dead: while requests run there it is judged by those, and only a stall of one of them asks at once. A model
 * that is loading, recovering, draining or not in memory is not asked for either, and begins anew when it is served.
 *
 * A request that is sent to the same model cancels the canary before, on the same stream: the request tells as much.
 */
import type { Fault, Reason } from '../../proto/contract/faults.ts';
import type { Ended } from '../../proto/gen/infermesh/v1/link.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import type { AttemptPort, NodeLink } from './node-link.ts';

/** After so long without a token an idle node is asked, and then after so long each time that it answered. */
const ASK_AFTER_MS = [10_000, 20_000, 40_000, 60_000] as const;
/** The share of these that is waited, drawn each time, so that nodes that joined together are not asked together. */
const JITTER = { least: 0.8, most: 0.98 };
/** What it has for its one token. */
export const CANARY_LIMIT_MS = 5000;
/** A wedged one is asked again after 1 s, 2 s and so on up to this. */
const ASK_AGAIN_MS = { least: 1000, most: 30_000 };
const CREDIT_BYTES = 16 * 1024;
const EPOCH = 1;
const NO_VERDICT: ReadonlySet<string> = new Set<Reason>(['DRAINING', 'QUEUE_FULL']);

export interface CanaryOptions {
  readonly random: () => number;
  readonly tell: Tell<FleetEvent>;
  /** A node may be let in, or is let in no more. */
  readonly onChange: () => void;
}

/** Work that was sent. */
interface Asked {
  request: number;
  at: number;
  /** Cancelled after its limit; its end is heard all the same. */
  overdue: boolean;
}

/** Of one model on one node. */
export class Canary implements AttemptPort {
  readonly #link: NodeLink;
  readonly #model: string;
  readonly #options: CanaryOptions;
  /** Answers since something last came of a request. */
  #answers = 0;
  /** Times in a row that it was asked in vain. */
  #vain = 0;
  #lastTokenAt: number;
  #dueAt = 0;
  /** A request stalled, and what the node says of itself counts less than that. */
  #suspected = false;
  /** The work that was sent last, while an answer may come. */
  #asked: Asked | undefined;
  #now: number;

  constructor(link: NodeLink, model: string, now: number, options: CanaryOptions) {
    this.#link = link;
    this.#model = model;
    this.#options = options;
    this.#now = now;
    this.#lastTokenAt = now;
    this.#plan();
  }

  look(now: number, forgiven: number): void {
    this.#now = now;
    const link = this.#link;
    if (link.lease !== 'held' || !link.claimsToServe(this.#model)) return this.#anew();
    if (this.#asked && !this.#asked.overdue) {
      this.#asked.at += forgiven;
      if (now - this.#asked.at >= CANARY_LIMIT_MS) this.#overdue(this.#asked);
    } else if (now >= this.#dueAt && this.#mayAsk()) this.#ask();
  }

  /** It is not there to be asked; what it is when it is there again is open. */
  #anew(): void {
    this.giveWay();
    this.#suspected = false;
    this.#vain = 0;
    this.#answers = 0;
    this.#lastTokenAt = this.#now;
    this.#link.wedged.delete(this.#model);
    this.#plan();
  }

  #plan(): void {
    const { least, most } = JITTER;
    const afterMs = ASK_AFTER_MS[Math.min(this.#answers, ASK_AFTER_MS.length - 1)] as number;
    this.#dueAt = this.#now + afterMs * (least + (most - least) * this.#options.random());
  }

  /** Idle, or suspected and with room for one more. */
  #mayAsk(): boolean {
    const link = this.#link;
    const slots = link.models.find(({ name }) => name === this.#model)?.slots ?? 0;
    const load = link.loadOf(this.#model);
    const own = link.reservations.of(this.#model).requests;
    if (Math.min(slots, load?.freeSlots ?? slots) - own <= 0) return false;
    return this.#suspected || this.#isWedged || (own === 0 && (load?.running ?? 0) === 0 && (load?.queued ?? 0) === 0);
  }

  get #isWedged(): boolean {
    return this.#link.wedged.has(this.#model);
  }

  #ask(): void {
    this.#forget();
    this.#suspected = false;
    // Set before, since a link that has closed answers at once.
    const asked: Asked = { request: 0, at: this.#now, overdue: false };
    this.#asked = asked;
    asked.request = this.#link.start(
      {
        epoch: EPOCH,
        model: this.#model,
        messages: [{ role: Role.ROLE_USER, text: 'Hello' }],
        maxTokens: 1,
        stop: [],
        jsonSchema: '',
        creditBytes: CREDIT_BYTES,
        deadlineMs: CANARY_LIMIT_MS,
        traceparent: '',
        canary: true,
      },
      this,
    );
  }

  #overdue(asked: Asked): void {
    asked.overdue = true;
    this.#link.cancel(asked.request, EPOCH);
    this.#failed();
  }

  #failed(): void {
    const { least, most } = ASK_AGAIN_MS;
    this.#dueAt = this.#now + Math.min(most, least * 2 ** this.#vain++);
    if (this.#isWedged) return;
    this.#link.wedged.add(this.#model);
    const silentMs = Math.round(this.#now - this.#lastTokenAt);
    this.#options.tell({ type: 'node_wedged', node: this.#link.id, model: this.#model, silentMs });
    this.#options.onChange();
  }

  /** Something came: it lives. */
  #lives(): void {
    this.#vain = 0;
    this.#lastTokenAt = this.#now;
    this.#plan();
    if (!this.#link.wedged.delete(this.#model)) return;
    this.#options.tell({ type: 'node_unwedged', node: this.#link.id, model: this.#model });
    this.#options.onChange();
  }

  // Of requests

  gave(now: number): void {
    this.#now = now;
    this.#answers = 0;
    this.#suspected = false;
    this.#lives();
  }

  idle(now: number): void {
    this.#now = now;
    if (!this.#suspected && !this.#isWedged) this.#plan();
  }

  stalled(now: number): void {
    this.#now = now;
    if (this.#isWedged) return;
    this.#suspected = true;
    this.#dueAt = now;
  }

  /** Ends what was asked, without a verdict. */
  giveWay(): void {
    if (!this.#asked) return;
    this.#link.cancel(this.#asked.request, EPOCH);
    this.#forget();
  }

  #forget(): void {
    if (this.#asked) this.#link.forget(this.#asked.request);
    this.#asked = undefined;
  }

  // Of the canary itself

  piece(): void {
    this.#answered();
  }

  ended({ outcome }: Ended): void {
    if (outcome?.$case === 'finish') return this.#answered();
    const asked = this.#asked;
    this.#asked = undefined;
    // A node that is leaving has no time for it, and one that is full has other work to be judged by.
    if (outcome && NO_VERDICT.has(outcome.value.reason)) return this.#plan();
    // The engine has let go of what it was asked too long ago, so it may answer now.
    if (asked?.overdue) this.#dueAt = this.#now;
    else if (asked) this.#failed();
  }

  #answered(): void {
    // Its piece and its end are one answer.
    if (this.#asked && !this.#asked.overdue) this.#answers++;
    this.#forget();
    this.#lives();
  }

  lost(): void {
    this.#asked = undefined;
  }

  fail(_fault: Fault): void {
    this.giveWay();
  }
}
