/**
 * This node's stream to one router.
 *
 *   dialling -> attached -> lost -> (pause) -> dialling ...        until close()
 *
 * A lost stream takes its assignments with it; the pause grows and is jittered, so that a fleet does not come back to a
 * restarted router in one instant.
 */
import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import type { Fault } from '../proto/contract/faults.ts';
import type { AttachRequest, AttachResponse, Work } from '../proto/gen/infermesh/v1/link.ts';
import { LinkServiceClient } from '../proto/gen/infermesh/v1/link.ts';
import { channelOptions, credentialsFor } from '../proto/transport/channel.ts';
import { bearer } from '../proto/transport/join-token.ts';
import { faultOfStatus } from '../proto/transport/service-error.ts';
import type { Assignment } from './assignment.ts';
import { FrameWriter } from './frame.ts';

/** Pauses between attempts to dial, in milliseconds. */
const RETRY = { first: 100, most: 2000, refused: 5000 };
const KEEPALIVE_MS = 1000;

type Frame = NonNullable<AttachRequest['frame']>;

export interface LinkOptions {
  /** HOST:PORT */
  readonly router: string;
  readonly token: string;
  readonly tls: Buffer | undefined;
  readonly random: () => number;
  /** The frames that introduce this node on a new stream. */
  readonly introduction: () => readonly Frame[];
  readonly onConnected: (routerId: string) => void;
  readonly onLost: (fault: Fault, retryInMs: number) => void;
  /** Begins an assignment; its frames go out by `frames`. */
  readonly onWork: (work: Work, frames: FrameWriter, onOver: () => void) => Assignment;
}

export class RouterLink {
  readonly router: string;
  readonly #options: LinkOptions;
  readonly #client: LinkServiceClient;
  readonly #assignments = new Map<number, Assignment>();
  #call: ClientDuplexStream<AttachRequest, AttachResponse> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #welcomed = false;
  #closing = false;
  #onIdle: (() => void) | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.router = options.router;
    const dial = { keepaliveMs: KEEPALIVE_MS, ...(options.tls ? { tls: options.tls } : {}) };
    this.#client = new LinkServiceClient(options.router, credentialsFor(dial), channelOptions(dial));
    this.#dial();
  }

  /** Assignments on this link. */
  get working(): number {
    return this.#assignments.size;
  }

  get attached(): boolean {
    return this.#welcomed;
  }

  send(frame: Frame): void {
    if (this.#welcomed) this.#call?.write({ frame });
  }

  #dial(): void {
    const metadata = new Metadata();
    metadata.set('authorization', bearer(this.#options.token));
    const call = this.#client.attach(metadata);
    this.#call = call;
    const frames = new FrameWriter((progress) => this.#current(call)?.write({ frame: { $case: 'progress', value: progress } }));
    call.on('data', (response: AttachResponse) => this.#take(response, frames));
    call.on('error', () => {}); // The status says the same and always comes.
    call.once('status', (status: StatusObject) => this.#lost(call, faultOfStatus(status)));
    for (const frame of this.#options.introduction()) call.write({ frame });
  }

  /** Frames of assignments from a stream that is gone have nowhere to go. */
  #current(call: ClientDuplexStream<AttachRequest, AttachResponse>) {
    return this.#call === call ? call : undefined;
  }

  #take({ frame }: AttachResponse, frames: FrameWriter): void {
    switch (frame?.$case) {
      case 'welcome':
        this.#welcomed = true;
        this.#failures = 0;
        return this.#options.onConnected(frame.value.routerId);
      case 'work': {
        const { request } = frame.value;
        const over = () => this.#over(request);
        const assignment = this.#options.onWork(frame.value, frames, () => process.nextTick(over));
        this.#assignments.set(request, assignment);
        return;
      }
      case 'cancel':
        return this.#assignments.get(frame.value.request)?.cancel();
      case 'credit':
        return this.#assignments.get(frame.value.request)?.credit(frame.value.bytes);
      default:
        return; // A newer router's frame that this node does not know.
    }
  }

  #over(request: number): void {
    this.#assignments.delete(request);
    if (this.#assignments.size === 0) this.#onIdle?.();
  }

  #lost(call: ClientDuplexStream<AttachRequest, AttachResponse>, fault: Fault): void {
    if (this.#call !== call) return;
    this.#call = undefined;
    this.#welcomed = false;
    for (const assignment of this.#assignments.values()) assignment.cancel();
    if (this.#closing) return;
    const retryInMs = this.#pause(fault);
    this.#retry = setTimeout(() => this.#dial(), retryInMs);
    this.#options.onLost(fault, retryInMs);
  }

  #pause(fault: Fault): number {
    // Wrong token, or fenced: trying at once changes nothing.
    const most = fault.retryable ? Math.min(RETRY.most, RETRY.first * 2 ** this.#failures) : RETRY.refused;
    this.#failures++;
    return Math.round(most * (0.5 + 0.5 * this.#options.random()));
  }

  /** Resolves when no assignment is left, or after `limitMs`. */
  async idle(limitMs: number): Promise<void> {
    if (this.#assignments.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Says goodbye by ending the stream; the router fails what is left on it. */
  close(): void {
    this.#closing = true;
    clearTimeout(this.#retry);
    for (const assignment of this.#assignments.values()) assignment.cancel();
    this.#call?.end();
    this.#client.close();
  }
}
