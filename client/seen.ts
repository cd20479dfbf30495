/** Follows one chat for its span, which ends once whatever way the iteration is left. */
import type { Fault } from '../proto/contract/faults.ts';
import { Code } from '../proto/contract/faults.ts';
import type { ChatRequest } from '../proto/gen/infermesh/v1/inference.ts';
import type { ClientCall, Server } from '../telemetry/client-span.ts';
import { startClientCall } from '../telemetry/client-span.ts';
import type { ChatEvent } from './events.ts';
import type { Progress } from './progress.ts';

const METHOD = 'infermesh.v1.InferenceService/Chat';

export class Seen {
  readonly #span: ClientCall;
  readonly #progress: Progress;

  /**
   * @param address of the router that is asked first
   * @param traceparent of the caller; absent: the active span of its process
   */
  constructor(address: string, { sampling, maxTokens }: ChatRequest, traceparent: string | undefined, progress: Progress) {
    this.#progress = progress;
    this.#span = startClientCall(METHOD, {
      server: serverOf(address),
      sampling: { ...sampling, ...(maxTokens === undefined ? {} : { maxTokens }) },
      ...(traceparent === undefined ? {} : { traceparent }),
    });
  }

  /** For the routers; empty when there is no trace to join. */
  get traceparent(): string {
    return this.#span.traceparent;
  }

  event(event: ChatEvent): void {
    if (event.type === 'delta') this.#span.firstToken();
    if (event.type !== 'finished') return;
    const { reason: finishReason, usage, migrations } = event;
    this.#span.end({ outcome: 'finished', code: Code.OK, finishReason, migrations, ...(usage && { usage }), ...this.#who() });
  }

  /** The call goes on at another router. */
  moved(address: string, fault: Fault): void {
    this.#span.failover({ server: serverOf(address), reason: fault.reason, tokens: this.#progress.tokens });
  }

  failed(fault: Fault): void {
    const outcome = fault.reason === 'CANCELLED' ? 'cancelled' : 'failed';
    this.#span.end({ outcome, code: fault.code, reason: fault.reason, ...this.#who() });
  }

  left(): void {
    this.#span.end({ outcome: 'cancelled', code: Code.CANCELLED, reason: 'CANCELLED', ...this.#who() });
  }

  #who() {
    const { started, answering, tokens } = this.#progress;
    if (!started || !answering) return { tokens };
    return { tokens, node: answering.node, model: answering.model, requestId: started.requestId };
  }
}

/** As spans name it. */
export function serverOf(address: string): Server {
  const [host = '', port = ''] = address.split(/:(?=\d+$)/);
  return { address: host, port: Number(port) };
}
