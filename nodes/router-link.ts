/**
 * This node's link to one router: one stream after the other.
 *
 *   dialling -> attached -> lost -> (pause) -> dialling ...        until close()
 *
 * A lost stream takes its assignments with it; the pause grows and is jittered, so that a fleet does not come back to a
 * restarted router in one instant.
 */
import type { KeyObject } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import type { Fault, Reason } from '../proto/contract/faults.ts';
import { LinkServiceClient } from '../proto/gen/infermesh/v1/link.ts';
import { channelOptions, credentialsFor } from '../proto/transport/channel.ts';
import { bearer } from '../proto/transport/join-token.ts';
import { CHALLENGE, NODE_KEY, publicHalf, signProof } from '../proto/transport/node-proof.ts';
import type { Credentials } from './credentials.ts';
import type { Frame, StreamEvents } from './link-stream.ts';
import { LinkStream } from './link-stream.ts';
import { WorkCount } from './work-count.ts';

/** Pauses between attempts to dial, in milliseconds. */
const RETRY = { first: 100, most: 2000, refused: 5000 };
/** A ping each second; see README.md for why its answer may take longer. */
const KEEPALIVE = { keepaliveMs: 1000, keepaliveTimeoutMs: 3000 };
/** A router that will not have this node. Whatever else ends a stream, also without a status of ours, is a loss. */
const REFUSALS: ReadonlySet<Reason> = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'FENCED', 'INVALID_REQUEST', 'UNSUPPORTED']);

export interface LinkOptions extends Credentials {
  /** HOST:PORT */
  readonly router: string;
  readonly nodeId: string;
  readonly random: () => number;
  /** The frames that introduce this node on a new stream. */
  readonly introduction: () => readonly Frame[];
  readonly onConnected: (routerId: string, reportIntervalMs: number) => void;
  /** `refused`: trying again soon changes nothing. */
  readonly onLost: (fault: Fault, retryInMs: number, refused: boolean) => void;
  readonly onWork: StreamEvents['onWork'];
  readonly onEmbed: StreamEvents['onEmbed'];
  readonly onCommand: StreamEvents['onCommand'];
  readonly onDrain: StreamEvents['onDrain'];
}

export class RouterLink {
  readonly router: string;
  readonly #options: LinkOptions;
  readonly #client: LinkServiceClient;
  #stream: LinkStream | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  readonly #working = new WorkCount();
  #abandoned = new WorkCount();
  #onIdle: (() => void) | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.router = options.router;
    const { tls, identity } = options;
    const dial = { ...KEEPALIVE, ...(tls ? { tls } : {}), ...(identity ? { identity } : {}) };
    this.#client = new LinkServiceClient(options.router, credentialsFor(dial), channelOptions(dial));
    this.#dial();
  }

  /** Assignments and embeds that engines work on for this router, those of lost streams too. */
  get working(): Pick<WorkCount, 'total' | 'of'> {
    return this.#working;
  }

  /** Those of lost streams alone: the router knows nothing of them any more. */
  get abandoned(): Pick<WorkCount, 'total' | 'of'> {
    return this.#abandoned;
  }

  send(frame: Frame): void {
    this.#stream?.send(frame);
  }

  #dial(): void {
    const { token, key, introduction, onConnected, onCommand, onDrain } = this.#options;
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', bearer(token));
    if (key) metadata.set(NODE_KEY, publicHalf(key));
    const call = this.#client.attach(metadata);
    const stream = new LinkStream(call, key ? [] : introduction(), {
      onWelcome: (routerId, reportIntervalMs) => {
        this.#failures = 0;
        onConnected(routerId, reportIntervalMs);
      },
      onWork: this.#begin,
      onEmbed: this.#beginEmbed,
      onCommand,
      onDrain,
      onLost: (fault) => this.#lost(fault),
    });
    this.#stream = stream;
    if (key) call.once('metadata', (answer: Metadata) => stream.introduce(this.#proven(key, answer)));
  }

  /** The introduction with a signature of the router's challenge, where it sent one. */
  #proven(key: KeyObject, answer: Metadata): readonly Frame[] {
    const { nodeId, token = '', introduction } = this.#options;
    const challenge = answer.get(CHALLENGE)[0]?.toString();
    if (challenge === undefined) return introduction();
    const signature = signProof(key, { challenge, nodeId, token });
    return introduction().map((frame) => (frame.$case === 'hello' ? { ...frame, value: { ...frame.value, signature } } : frame));
  }

  readonly #begin: StreamEvents['onWork'] = (work, frames, onOver) =>
    this.#options.onWork(work, frames, this.#counted(work.model, onOver));

  readonly #beginEmbed: StreamEvents['onEmbed'] = (embed, answer, onOver) =>
    this.#options.onEmbed(embed, answer, this.#counted(embed.model, onOver));

  /** Counts something as worked on until it is over. */
  #counted(model: string, onOver: () => void): () => void {
    this.#working.add(model, 1);
    const stream = this.#stream;
    // The end leaves in a frame at the end of this turn; who waits for the link to be idle is told after that.
    const over = () => {
      onOver();
      this.#working.add(model, -1);
      if (stream !== this.#stream) this.#abandoned.add(model, -1);
      if (this.#working.total === 0) this.#onIdle?.();
    };
    return () => process.nextTick(over);
  }

  #lost(fault: Fault): void {
    this.#stream = undefined;
    this.#abandoned = this.#working.copy();
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

  /** Resolves when no assignment and no embed is left, or when the signal is aborted. */
  async idle(signal: AbortSignal): Promise<void> {
    if (this.#working.total === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Ends every assignment and embed with DRAINING, for the router to go on elsewhere. */
  handBack(): void {
    this.#stream?.handBack();
  }

  /** Says goodbye, and dials no more; resolves when the router has heard, or soon after. What still runs is cancelled. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    const stream = this.#stream;
    this.#stream = undefined;
    this.#abandoned = this.#working.copy();
    await stream?.goodbye();
    this.#client.close();
  }
}
