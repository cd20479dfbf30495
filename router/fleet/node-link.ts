/**
 * One node's stream, from the router's side: what the node said last, and the attempts and embeds running on it.
 *
 *   open -> closed        by the node's leaving, an expired lease, fencing, or the router's own end
 *
 * Closing fails every attempt and embed that has not ended, once.
 */

import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { Embed, Embedded, Ended, Hello, Progress, Report, Work } from '../../proto/gen/infermesh/v1/link.ts';
import { AttachResponse } from '../../proto/gen/infermesh/v1/link.ts';
import type { ModelLoad, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState, NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import type { RawDuplex } from '../../proto/transport/handlers.ts';
import { encodeMessage } from '../../proto/transport/messages.ts';
import type { Lease } from './lease.ts';
import { ModelCommands } from './model-commands.ts';
import { stateOfModel } from './model-state.ts';
import { Reservations } from './reservations.ts';

/** Takes what a node says of one attempt. */
export interface AttemptPort {
  /** `data` is whole framed messages; it may be kept, nothing else writes to it. */
  piece(epoch: number, seq: number, tokens: number, data: Buffer): void;
  /** The engine has stopped; nothing more comes. */
  ended(ended: Ended): void;
  /** The node is gone; nothing more comes. */
  lost(fault: Fault): void;
  /** It can't go on, because of this; more may come until its engine has stopped. */
  fail(fault: Fault): void;
}

/** Takes what becomes of an embed; one of the two, once. */
export interface EmbedPort {
  embedded(embedded: Embedded): void;
  /** The node is gone. */
  lost(fault: Fault): void;
}

export class NodeLink {
  readonly hello: Hello;
  readonly connectedAt: number;
  models: readonly ServedModel[] = [];
  /** Models that served on this stream. */
  readonly served = new Set<string>();
  /** Models whose engine gives no token, though the node says that it serves. */
  readonly wedged = new Set<string>();
  lastHeardAt: number;
  lease: Lease = 'held';

  #report: Report | undefined;
  /** Of the report, by model. */
  #loads: ReadonlyMap<string, ModelLoad> = new Map();
  readonly #call: RawDuplex;
  readonly commands = new ModelCommands((value) => this.#send({ frame: { $case: 'modelCommand', value } }));
  readonly #attempts = new Map<number, AttemptPort>();
  /** What this router's own requests occupy here. */
  readonly reservations = new Reservations();
  #nextRequest = 1;
  readonly #embeds = new Map<number, EmbedPort>();
  #nextEmbed = 1;
  #closed: Fault | undefined;

  constructor(call: RawDuplex, hello: Hello, now: number) {
    this.#call = call;
    this.hello = hello;
    this.connectedAt = now;
    this.lastHeardAt = now;
  }

  get id(): string {
    return this.hello.nodeId;
  }

  /** The last one. */
  get report(): Report | undefined {
    return this.#report;
  }

  /** For each candidate of each request its load is looked up several times, so they are put in order here. */
  set report(report: Report) {
    this.#report = report;
    // Of a model that is told of twice the first counts.
    this.#loads = new Map(report.loads.toReversed().map((load) => [load.model, load]));
  }

  get loads(): readonly ModelLoad[] {
    return this.#report?.loads ?? [];
  }

  get state(): NodeState {
    if (this.lease !== 'held' || this.#isWedged) return NodeState.NODE_STATE_SUSPECT;
    return this.report?.state ?? NodeState.NODE_STATE_LOADING;
  }

  /** In all that it serves. */
  get #isWedged(): boolean {
    return this.wedged.size > 0 && this.models.every(({ name }) => this.wedged.has(name) || !this.claimsToServe(name));
  }

  loadOf(model: string): ModelLoad | undefined {
    return this.#loads.get(model);
  }

  /** Of one of its models, wedged or not; of one that is not in memory, as if it were. */
  stateOf(model: string): NodeState {
    return this.lease === 'held' ? this.#saysOf(model) : NodeState.NODE_STATE_SUSPECT;
  }

  /** Whether the node says that it has the model in memory and serves it. */
  claimsToServe(model: string): boolean {
    return this.#saysOf(model) === NodeState.NODE_STATE_SERVING && !this.isLoadable(model);
  }

  /** Whether it is believed to serve the model. */
  serves(model: string): boolean {
    const isHere = this.lease === 'held' && this.models.some(({ name }) => name === model);
    return isHere && this.claimsToServe(model) && !this.wedged.has(model);
  }

  /** Not in memory, and loaded when somebody asks for it. */
  isLoadable(model: string): boolean {
    return this.loadOf(model)?.state === ModelState.MODEL_STATE_LOADABLE;
  }

  #saysOf(model: string): NodeState {
    return stateOfModel(this.report?.state ?? NodeState.NODE_STATE_LOADING, this.loadOf(model));
  }

  get attempts(): number {
    return this.#attempts.size;
  }

  /** Sends an attempt; `request` is this stream's own number for it. @returns that number */
  start(work: Omit<Work, 'request'>, port: AttemptPort): number {
    const request = this.#nextRequest;
    this.#nextRequest = after(request);
    if (this.#closed) {
      port.lost(this.#closed);
      return request;
    }
    this.#attempts.set(request, port);
    this.#send({ frame: { $case: 'work', value: { ...work, request } } });
    return request;
  }

  cancel(request: number, epoch: number): void {
    if (this.#attempts.has(request)) this.#send({ frame: { $case: 'cancel', value: { request, epoch } } });
  }

  /** Waits no longer for the end of an attempt. */
  forget(request: number): void {
    this.#attempts.delete(request);
  }

  credit(request: number, epoch: number, bytes: number): void {
    if (this.#attempts.has(request)) this.#send({ frame: { $case: 'credit', value: { request, epoch, bytes } } });
  }

  /** Sends texts to make vectors of. @returns this stream's own number for them, apart from those of attempts */
  embed(embed: Omit<Embed, 'request'>, port: EmbedPort): number {
    const request = this.#nextEmbed;
    this.#nextEmbed = after(request);
    if (this.#closed) {
      port.lost(this.#lostBy(this.#closed));
      return request;
    }
    this.#embeds.set(request, port);
    this.#send({ frame: { $case: 'embed', value: { ...embed, request } } });
    return request;
  }

  /** Nobody waits for its vectors any more; the node still answers, once its engine has stopped. */
  cancelEmbed(request: number): void {
    if (this.#embeds.has(request)) this.#send({ frame: { $case: 'cancelEmbed', value: { request } } });
  }

  /** Waits no longer for an embed. */
  forgetEmbed(request: number): void {
    this.#embeds.delete(request);
  }

  /** One that nobody waits for is nothing to the router. */
  embedded(embedded: Embedded): void {
    const port = this.#embeds.get(embedded.request);
    this.#embeds.delete(embedded.request);
    port?.embedded(embedded);
  }

  /** Hands a frame's pieces to their attempts. @throws Fault INVALID_REQUEST when the columns don't fit each other */
  progress({ request, epoch, seq, tokens, size, data, ended }: Progress): void {
    const count = request.length;
    if (epoch.length !== count || seq.length !== count || tokens.length !== count || size.length !== count) {
      throw new Fault('INVALID_REQUEST', 'progress has columns of different lengths');
    }
    let at = 0;
    for (let i = 0; i < count; i++) {
      const end = at + (size[i] as number);
      if (end > data.length) throw new Fault('INVALID_REQUEST', 'progress names more bytes than it has');
      const port = this.#attempts.get(request[i] as number);
      try {
        port?.piece(epoch[i] as number, seq[i] as number, tokens[i] as number, data.subarray(at, end));
      } catch (thrown) {
        // A defect here costs one attempt, not the others in the frame.
        port?.fail(toFault(thrown));
      }
      at = end;
    }
    for (const last of ended) this.#end(last);
  }

  #end(ended: Ended): void {
    const port = this.#attempts.get(ended.request);
    this.#attempts.delete(ended.request);
    port?.ended(ended);
  }

  /** Ends the stream; with a fault the node is told why. */
  close(fault: Fault, tell: (fault: Fault) => void): void {
    if (this.#closed) return;
    this.#closed = fault;
    const ports = [...this.#attempts.values(), ...this.#embeds.values()];
    this.#attempts.clear();
    this.#embeds.clear();
    tell(fault);
    const lost = this.#lostBy(fault);
    for (const port of ports) port.lost(lost);
    this.commands.lost(lost);
  }

  #lostBy(fault: Fault): Fault {
    return new Fault('NODE_LOST', `node ${this.id} was lost: ${fault.message}`, { facts: { node: this.id } });
  }

  /** Asks the node to take nothing new, finish within the limit and leave. */
  drain(limitMs: number): void {
    this.#send({ frame: { $case: 'drain', value: { limitMs } } });
  }

  welcome(routerId: string, reportIntervalMs: number): void {
    this.#send({ frame: { $case: 'welcome', value: { routerId, reportIntervalMs } } });
  }

  #send(frame: AttachResponse): void {
    if (this.#closed || this.#call.cancelled || this.#call.writableEnded) return;
    this.#call.write(encodeMessage(AttachResponse, frame));
  }
}

/** The number after one, of 32 bits and never 0. */
const after = (request: number) => (request === 0xffffffff ? 1 : request + 1);
