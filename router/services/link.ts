/** LinkService: nodes come in here, and everything they say is handed to the fleet. */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { Hello } from '../../proto/gen/infermesh/v1/link.ts';
import { AttachRequest } from '../../proto/gen/infermesh/v1/link.ts';
import type { BidiHandler, RawDuplex } from '../../proto/transport/handlers.ts';
import { sendChallenge } from '../../proto/transport/node-proof.ts';
import { serviceError } from '../../proto/transport/service-error.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import type { Clock } from '../clock.ts';
import { clampProgress } from '../fleet/claims.ts';
import type { Fleet, Leaving } from '../fleet/fleet.ts';
import { REPORT_INTERVAL_MS } from '../fleet/lease.ts';
import { NodeLink } from '../fleet/node-link.ts';
import type { Admission, NodeGate } from '../trust/node-gate.ts';
import { checkHello, checkModels, checkReport } from './link-bounds.ts';
import { RefusedPeers } from './refused-peers.ts';

const METHOD = '/infermesh.v1.LinkService/Attach';
/** A stranger that connects and says nothing is sent away. */
const HELLO_TIMEOUT_MS = 5000;

export interface LinkParts {
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly gate: NodeGate;
  readonly routerId: string;
  readonly tell: Tell<FleetEvent>;
  /** Takes what went wrong here rather than at the node. */
  readonly onDefect: (method: string, fault: Fault) => void;
}

export function linkHandlers(parts: LinkParts): { attach: BidiHandler } {
  const sessions = new Map<NodeLink, Session>();
  const refused = new RefusedPeers(parts.clock);
  parts.fleet.onDismissed = (link, fault) => sessions.get(link)?.end(fault);
  return {
    attach: {
      kind: 'bidi',
      handle: (call, context) => {
        const peer = call.getPeer();
        const guarded = <T>(admit: () => T): T => {
          try {
            return admit();
          } catch (thrown) {
            const { reason } = toFault(thrown);
            if (refused.isNews(peer)) parts.tell({ type: 'join_refused', peer, reason });
            throw thrown;
          }
        };
        const admission = guarded(() => parts.gate.open(context));
        if (admission.challenge !== undefined) sendChallenge(call, admission.challenge);
        new Session(call, parts, sessions, { check: (hello) => guarded(() => admission.check(hello)) });
      },
    },
  };
}

/** One Attach stream: hello first, then anything; whatever breaks it ends it with a status. */
class Session {
  readonly #call: RawDuplex;
  readonly #parts: LinkParts;
  readonly #sessions: Map<NodeLink, Session>;
  readonly #admission: Admission;
  readonly #stopWaiting: () => void;
  #link: NodeLink | undefined;
  #over = false;

  constructor(call: RawDuplex, parts: LinkParts, sessions: Map<NodeLink, Session>, admission: Admission) {
    this.#call = call;
    this.#parts = parts;
    this.#sessions = sessions;
    this.#admission = admission;
    this.#stopWaiting = parts.clock.after(HELLO_TIMEOUT_MS, () => this.end(new Fault('INVALID_REQUEST', 'no hello came')));
    call.on('data', (bytes: Buffer) => this.#frame(bytes));
    // A connection that breaks ends the stream too, and says so in the same turn.
    call.once('end', () => setImmediate(() => this.#gone(call.cancelled ? 'disconnected' : 'goodbye')));
    call.once('cancelled', () => this.#gone('disconnected'));
    call.once('error', () => this.#gone('disconnected'));
  }

  #frame(bytes: Buffer): void {
    if (this.#over) return;
    try {
      this.#take(decoded(bytes));
    } catch (thrown) {
      if (thrown instanceof Fault) this.#refuse(thrown);
      // A defect here is not the node's fault, and its link goes on.
      else this.#parts.onDefect(METHOD, toFault(thrown));
    }
  }

  #refuse(fault: Fault): void {
    if (this.#link) this.#parts.fleet.leave(this.#link, 'protocol_error');
    this.end(fault);
  }

  #take({ frame }: AttachRequest): void {
    const link = this.#link;
    if (!link) {
      if (frame?.$case !== 'hello') throw new Fault('INVALID_REQUEST', 'the first frame must be hello');
      return this.#hello(frame.value);
    }
    switch (frame?.$case) {
      case 'progress':
        this.#parts.fleet.heard(link);
        return link.progress(frame.value);
      case 'embedded':
        this.#parts.fleet.heard(link);
        return link.embedded(frame.value);
      case 'modelProgress':
        this.#parts.fleet.heard(link);
        return link.commands.progressed(clampProgress(frame.value));
      case 'report':
        checkReport(frame.value);
        return this.#parts.fleet.report(link, frame.value);
      case 'inventory':
        checkModels(frame.value.models);
        return this.#parts.fleet.inventory(link, frame.value.models);
      case 'hello':
        throw new Fault('INVALID_REQUEST', 'hello came twice');
      default:
        return; // A newer node's frame that this router does not know.
    }
  }

  #hello(hello: Hello): void {
    this.#stopWaiting();
    checkHello(hello);
    this.#admission.check(hello);
    const { fleet, clock, routerId } = this.#parts;
    const link = new NodeLink(this.#call, hello, clock.now());
    fleet.join(link, (old, fault) => this.#sessions.get(old)?.end(fault));
    this.#link = link;
    this.#sessions.set(link, this);
    link.welcome(routerId, REPORT_INTERVAL_MS);
  }

  #gone(reason: Leaving): void {
    if (this.#over) return;
    if (this.#link) this.#parts.fleet.leave(this.#link, reason);
    const fault = new Fault('NODE_LOST', reason === 'goodbye' ? 'it left' : 'the connection was lost');
    this.end(fault, () => this.#call.end());
  }

  /** Ends the stream once; attempts that run on it fail. */
  end(fault: Fault, tell: () => void = () => this.#call.emit('error', serviceError(fault))): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWaiting();
    if (!this.#link) return tell();
    this.#sessions.delete(this.#link);
    this.#link.close(fault, tell);
  }
}

/** @throws Fault INVALID_REQUEST */
function decoded(bytes: Buffer): AttachRequest {
  try {
    return AttachRequest.decode(bytes);
  } catch (cause) {
    throw new Fault('INVALID_REQUEST', 'a frame is not an AttachRequest', { cause });
  }
}
