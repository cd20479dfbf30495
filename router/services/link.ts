/** LinkService: nodes come in here, and everything they say is handed to the fleet. */
import { MODEL_NAME } from '../../proto/contract/bounds.ts';
import { Fault, invalid } from '../../proto/contract/faults.ts';
import type { Hello } from '../../proto/gen/infermesh/v1/link.ts';
import { AttachRequest } from '../../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { BidiHandler, CallContext, RawDuplex } from '../../proto/transport/handlers.ts';
import { sameToken, tokenOf } from '../../proto/transport/join-token.ts';
import { serviceError } from '../../proto/transport/service-error.ts';
import type { FleetEvent, Tell } from '../../telemetry/events.ts';
import type { Clock } from '../clock.ts';
import type { Fleet, Leaving } from '../fleet/fleet.ts';
import { REPORT_INTERVAL_MS } from '../fleet/lease.ts';
import { NodeLink } from '../fleet/node-link.ts';

const NODE_ID = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/;
const MAX_MODELS = 256;
/** A stranger that connects and says nothing is sent away. */
const HELLO_TIMEOUT_MS = 5000;

export interface LinkParts {
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly token: string;
  readonly routerId: string;
  readonly tell: Tell<FleetEvent>;
}

export function linkHandlers(parts: LinkParts): { attach: BidiHandler } {
  const sessions = new Map<NodeLink, Session>();
  parts.fleet.onDismissed = (link, fault) => sessions.get(link)?.end(fault);
  return {
    attach: {
      kind: 'bidi',
      handle: (call, context) => {
        if (!sameToken(tokenOf(context.metadata('authorization')) ?? '', parts.token)) {
          parts.tell({ type: 'join_refused', peer: call.getPeer(), reason: 'UNAUTHENTICATED' });
          throw new Fault('UNAUTHENTICATED', tokenMessage(context));
        }
        new Session(call, parts, sessions);
      },
    },
  };
}

function tokenMessage(context: CallContext): string {
  return context.metadata('authorization') === undefined ? 'the join token is missing' : 'the join token is wrong';
}

/** Names go into logs, spans and keys: they must be names. */
function checkModels(models: readonly ServedModel[]): void {
  if (models.length > MAX_MODELS) {
    throw invalid([{ field: 'inventory.models', description: `must be at most ${MAX_MODELS}, received ${models.length}` }]);
  }
  const violations = models.flatMap(({ name }, i) => {
    const description = `must be up to 128 letters, digits and ._:-, received ${name.length} characters`;
    return MODEL_NAME.test(name) ? [] : [{ field: `inventory.models[${i}].name`, description }];
  });
  if (violations.length > 0) throw invalid(violations);
}

/** One Attach stream: hello first, then anything; whatever breaks it ends it with a status. */
class Session {
  readonly #call: RawDuplex;
  readonly #parts: LinkParts;
  readonly #sessions: Map<NodeLink, Session>;
  readonly #stopWaiting: () => void;
  #link: NodeLink | undefined;
  #over = false;

  constructor(call: RawDuplex, parts: LinkParts, sessions: Map<NodeLink, Session>) {
    this.#call = call;
    this.#parts = parts;
    this.#sessions = sessions;
    this.#stopWaiting = parts.clock.after(HELLO_TIMEOUT_MS, () => this.end(new Fault('INVALID_REQUEST', 'no hello came')));
    call.on('data', (bytes: Buffer) => this.#frame(bytes));
    call.once('end', () => this.#gone('goodbye'));
    call.once('cancelled', () => this.#gone('disconnected'));
    call.once('error', () => this.#gone('disconnected'));
  }

  #frame(bytes: Buffer): void {
    if (this.#over) return;
    try {
      this.#take(AttachRequest.decode(bytes));
    } catch (thrown) {
      // A frame that can't be read is the node's fault, not a defect here.
      const fault =
        thrown instanceof Fault ? thrown : new Fault('INVALID_REQUEST', 'a frame is not an AttachRequest', { cause: thrown });
      if (this.#link) this.#parts.fleet.leave(this.#link, 'protocol_error');
      this.end(fault);
    }
  }

  #take({ frame }: AttachRequest): void {
    const link = this.#link;
    if (!link) {
      if (frame?.$case !== 'hello') throw new Fault('INVALID_REQUEST', 'the first frame must be hello');
      return this.#hello(frame.value);
    }
    switch (frame?.$case) {
      case 'progress':
        return link.progress(frame.value);
      case 'report':
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
    if (!NODE_ID.test(hello.nodeId)) {
      const description = `must be 1 to 64 lower-case letters, digits and .-, received ${hello.nodeId.length} characters`;
      throw invalid([{ field: 'hello.node_id', description }]);
    }
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
