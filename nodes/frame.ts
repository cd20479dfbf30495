/**
 * What a node sends of its answers: everything that came up in one turn of the event loop, for all requests of one
 * router, in one frame. A decode step of the engine arrives as one turn, so a frame is a decode step.
 */
import { Delta } from '../proto/gen/infermesh/v1/inference.ts';
import type { Ended, Progress } from '../proto/gen/infermesh/v1/link.ts';
import { PREFIX_BYTES } from '../proto/transport/framing.ts';

/** A frame that grew so large is sent before the turn ends; the router takes messages of up to 8 MiB. */
const MAX_FRAME_BYTES = 256 * 1024;

/** Tag of ChatResponse.delta: field 2, length-delimited. */
const DELTA_TAG = (2 << 3) | 2;

/** A delta as the client's gRPC stream carries it: a ChatResponse with its length before it. */
export function deltaMessage(seq: number, tokens: number, text: string, tokenIds: readonly number[] = []): Buffer {
  const delta = Delta.encode({ seq, tokens, text, tokenIds: tokenIds as number[] }).finish();
  const lengthBytes = varintBytes(delta.length);
  const size = 1 + lengthBytes + delta.length;
  const out = Buffer.allocUnsafe(PREFIX_BYTES + size);
  out[0] = 0;
  out.writeUInt32BE(size, 1);
  out[PREFIX_BYTES] = DELTA_TAG;
  let at = PREFIX_BYTES + 1;
  let rest = delta.length;
  for (; rest > 0x7f; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  out.set(delta, at);
  return out;
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4;
}

export class FrameWriter {
  readonly #send: (progress: Progress) => void;
  #frame = emptyFrame();
  #parts: Buffer[] = [];
  #bytes = 0;
  #scheduled = false;
  readonly #flushLater = () => {
    this.#scheduled = false;
    this.flush();
  };

  constructor(send: (progress: Progress) => void) {
    this.#send = send;
  }

  piece(request: number, epoch: number, seq: number, tokens: number, message: Buffer): void {
    const { request: requests, tokens: counts, size: sizes } = this.#frame;
    const last = requests.length - 1;
    if (requests[last] === request) {
      // The same request again in one turn: one piece of several messages.
      counts[last] = (counts[last] as number) + tokens;
      sizes[last] = (sizes[last] as number) + message.length;
    } else {
      requests.push(request);
      this.#frame.epoch.push(epoch);
      this.#frame.seq.push(seq);
      counts.push(tokens);
      sizes.push(message.length);
    }
    this.#parts.push(message);
    this.#bytes += message.length;
    if (this.#bytes >= MAX_FRAME_BYTES) this.flush();
    else this.#schedule();
  }

  ended(ended: Ended): void {
    this.#frame.ended.push(ended);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(this.#flushLater);
  }

  flush(): void {
    if (this.#parts.length === 0 && this.#frame.ended.length === 0) return;
    const frame = this.#frame;
    frame.data = Buffer.concat(this.#parts, this.#bytes);
    this.#frame = emptyFrame();
    this.#parts = [];
    this.#bytes = 0;
    this.#send(frame);
  }
}

function emptyFrame(): Progress {
  return { request: [], epoch: [], seq: [], tokens: [], size: [], data: Buffer.alloc(0), ended: [] };
}
