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
import type { Fault, Reason } from '../proto/contract/faults.ts';
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
/** For the last frames and the goodbye to reach a router. */
const GOODBYE_MS = 500;
/** A router that will not have this node. Whatever else ends a stream, also without a status of ours, is a loss. */
const REFUSALS: ReadonlySet<Reason> = new Set(['UNAUTHENTICATED', 'FENCED', 'INVALID_REQUEST', 'UNSUPPORTED']);

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
  /** `refused`: trying again soon changes nothing. */
  readonly onLost: (fault: Fault, retryInMs: number, refused: boolean) => void;
  /** Begins an assignment; its frames go out by `frames`. */
  readonly onWork: (work: Work, frames: FrameWriter, onOver: () => void) => Assignment;
}

export class RouterLink {
  readonly router: string;
  readonly #options: LinkOptions;
  readonly #client: LinkServiceClient;
  readonly #assignments = new Map<number, Assignment>();
  #call: ClientDuplexStream<AttachRequest, AttachResponse> | undefined;
  #frames: FrameWriter | undefined;
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
    this.#frames = frames;
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
    const refused = REFUSALS.has(fault.reason);
    const retryInMs = this.#pause(refused);
    this.#retry = setTimeout(() => this.#dial(), retryInMs);
    this.#options.onLost(fault, retryInMs, refused);
  }

  #pause(refused: boolean): number {
    const most = refused ? RETRY.refused : Math.min(RETRY.most, RETRY.first * 2 ** this.#failures);
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

  /** Says goodbye by ending the stream, whose rest the router fails; resolves when it has heard, or soon after. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#retry);
    for (const assignment of this.#assignments.values()) assignment.cancel();
    // The end of the last assignment may be in a frame that waits for the end of this turn.
    this.#frames?.flush();
    const call = this.#call;
    this.#call = undefined;
    if (call) await goodbye(call);
    this.#client.close();
  }
}

/** Ends the stream and waits for the router's own end of it: a process that exits sooner takes unsent frames along. */
async function goodbye(call: ClientDuplexStream<AttachRequest, AttachResponse>): Promise<void> {
  await new Promise<void>((resolve) => {
    const giveUp = setTimeout(() => call.cancel(), GOODBYE_MS);
    call.once('status', () => {
      clearTimeout(giveUp);
      resolve();
    });
    call.end();
  });
}
