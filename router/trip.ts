/** What the stages of one request share. */
import type { ChatRequest, Started } from '../proto/gen/infermesh/v1/inference.ts';
import type { ClientStream } from '../proto/transport/event-stream.ts';
import type { RequestWatch } from '../telemetry/events.ts';
import type { Resumption } from './admit/admission.ts';
import { Kept } from './attempt/kept.ts';
import type { Series } from './attempt/series.ts';
import type { Cut } from './cut.ts';
import type { Entry as Claim } from './idempotency/registry.ts';
import type { Entry } from './ledger/ledger.ts';
import type { Flight } from './reuse/flight.ts';
import type { Reader } from './reuse/reader.ts';
import type { QuotaLease } from './trust/quotas.ts';

const EMPTY = Buffer.alloc(0);

export interface TripParts {
  readonly chat: ChatRequest;
  /** Of this client. */
  readonly client: ClientStream;
  readonly cut: Cut;
  readonly watch: RequestWatch;
  /** What another router delivered of the answer; undefined for a whole one. */
  readonly resumption: Resumption | undefined;
}

export class Trip {
  readonly chat: ChatRequest;
  readonly client: ClientStream;
  /** Of this client; the answer may outlive it where others read along. */
  readonly cut: Cut;
  readonly watch: RequestWatch;
  /** Who answers, and the event that told the client. */
  started: Started | undefined;
  opening: Buffer | undefined;
  /** Where the request carries an idempotency key: what is kept of it under the key. */
  claim: Claim | undefined;
  /** Of the tenant's quota. */
  lease: QuotaLease | undefined;
  /** The choice as the ledger keeps it, once there is one. */
  entry: Entry | undefined;
  attempts: Series | undefined;
  /** Where the client reads a recording: one from the cache, or an answer that others get as well. */
  reader: Reader | undefined;
  /** The `finished` of a reader. */
  closing: Buffer = EMPTY;
  /** All who get the answer that is generated; undefined for this client alone. */
  flight: Flight | undefined;
  /** Where the answer that is generated goes: to the client, or to all who read along. */
  stream: ClientStream;
  /** What ends its generation. */
  ending: Cut;
  kept: Kept;
  resumption: Resumption | undefined;

  constructor({ chat, client, cut, watch, resumption }: TripParts) {
    this.chat = chat;
    this.client = client;
    this.cut = cut;
    this.watch = watch;
    this.stream = client;
    this.ending = cut;
    this.resumption = resumption;
    this.kept = new Kept(resumption?.delivered);
  }

  /** What its client got, while it `isWhole`. */
  soFar(): Buffer {
    return this.reader?.soFar() ?? Buffer.concat([this.opening ?? EMPTY, this.kept.bytes()]);
  }

  /** Nothing that its client got is missing from `soFar`. */
  get isWhole(): boolean {
    return this.reader?.isWhole ?? (this.kept.isWhole && !this.resumption);
  }

  /** Its client has all of the answer. @param closing its `finished` */
  answered(closing: Buffer): void {
    if (this.isWhole) this.claim?.finished(Buffer.concat([this.soFar(), closing]));
    else this.claim?.freed();
  }

  /** Nothing ends it before its client has all of the answer. */
  get goesOn(): boolean {
    return !this.cut.signal.aborted && !this.reader?.isOver;
  }

  /** From now on the answer is generated for all who read along, behind what they have. */
  leads(flight: Flight, stream: ClientStream, ending: Cut, kept: Kept, resumption: Resumption | undefined): void {
    this.flight = flight;
    this.stream = stream;
    this.ending = ending;
    this.kept = kept;
    this.resumption = resumption;
    this.attempts = undefined;
    this.entry = undefined;
  }

  /** The prompt and what was answered so far, for an observer that was asked to keep them. */
  tellContent(): void {
    const { watch, chat, kept } = this;
    if (watch.wantsContent) watch.tell({ type: 'content', input: chat.messages, output: kept.text() });
  }
}
