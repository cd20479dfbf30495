/**
 * This node's link to one router: one stream after the other.
 *
 *   dialling -> attached -> lost -> (pause) -> dialling ...        until close()
 *
 * A lost stream takes its assignments with it; the pause grows and is jittered, so that a fleet does not come back to a
 * restarted router in one instant.
 */
import { Metadata } from '@grpc/grpc-js';
import type { Fault, Reason } from '../proto/contract/faults.ts';
import { LinkServiceClient } from '../proto/gen/infermesh/v1/link.ts';
import { channelOptions, credentialsFor } from '../proto/transport/channel.ts';
import { Drain } from '../proto/transport/drain.ts';
import { bearer } from '../proto/transport/join-token.ts';
import type { Frame, StreamEvents } from './link-stream.ts';
import { LinkStream } from './link-stream.ts';

/** Pauses between attempts to dial, in milliseconds. */
const RETRY = { first: 100, most: 2000, refused: 5000 };
/** A ping each second; see README.md for why its answer may take longer. */
const KEEPALIVE = { keepaliveMs: 1000, keepaliveTimeoutMs: 3000 };
/** A router that will not have this node. Whatever else ends a stream, also without a status of ours, is a loss. */
const REFUSALS: ReadonlySet<Reason> = new Set(['UNAUTHENTICATED', 'FENCED', 'INVALID_REQUEST', 'UNSUPPORTED']);

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
  readonly onWork: StreamEvents['onWork'];
}

export class RouterLink {
  readonly router: string;
  readonly #options: LinkOptions;
  readonly #client: LinkServiceClient;
  #stream: LinkStream | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #working = 0;
  readonly #drain = new Drain();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.router = options.router;
    const dial = { ...KEEPALIVE, ...(options.tls ? { tls: options.tls } : {}) };
    this.#client = new LinkServiceClient(options.router, credentialsFor(dial), channelOptions(dial));
    this.#dial();
  }

  /** Assignments that the engine works on for this router, those of lost streams too. */
  get working(): number {
    return this.#working;
  }

  send(frame: Frame): void {
    this.#stream?.send(frame);
  }

  #dial(): void {
    const { token, introduction, onConnected } = this.#options;
    const metadata = new Metadata();
    metadata.set('authorization', bearer(token));
    this.#stream = new LinkStream(this.#client.attach(metadata), introduction(), {
      onWelcome: (routerId) => {
        this.#failures = 0;
        onConnected(routerId);
      },
      onWork: this.#begin,
      onLost: (fault) => this.#lost(fault),
    });
  }

  readonly #begin: StreamEvents['onWork'] = (work, frames, onOver) => {
    this.#working++;
    return this.#options.onWork(work, frames, () => {
      // The end leaves in a frame at the end of this turn; who waits for the link to be idle is told after that.
      process.nextTick(() => {
        onOver();
        this.#working--;
        if (this.#working === 0) this.#drain.idle();
      });
    });
  };

  #lost(fault: Fault): void {
    this.#stream = undefined;
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
    if (this.#working > 0) await this.#drain.wait(limitMs);
  }

  /** Says goodbye, and dials no more; resolves when the router has heard, or soon after. What still runs is cancelled. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.goodbye();
    this.#client.close();
  }
}
