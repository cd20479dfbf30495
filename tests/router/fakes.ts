/** A link and a client's stream without a network, which keep what the router sent. */
import { AttachResponse, Hello } from '../../proto/gen/infermesh/v1/link.ts';
import type { EventStream } from '../../proto/transport/event-stream.ts';
import type { RawDuplex } from '../../proto/transport/handlers.ts';
import { NodeLink } from '../../router/fleet/node-link.ts';

type Sent = NonNullable<AttachResponse['frame']>;

export interface FakeLink {
  readonly link: NodeLink;
  readonly sent: Sent[];
  /** The values of the frames of one kind, in their order. */
  frames<Kind extends Sent['$case']>(kind: Kind): Extract<Sent, { $case: Kind }>['value'][];
}

export function fakeLink(id = 'n', epoch = 1, now = 0): FakeLink {
  const sent: Sent[] = [];
  const call = {
    cancelled: false,
    writableEnded: false,
    write: (bytes: Buffer) => {
      const { frame } = AttachResponse.decode(bytes);
      if (frame) sent.push(frame);
      return true;
    },
  };
  return {
    link: new NodeLink(call as unknown as RawDuplex, Hello.fromPartial({ nodeId: id, epoch }), now),
    sent,
    frames: (kind) => sent.flatMap((frame) => (frame.$case === kind ? [frame.value] : [])) as never,
  };
}

/** A client that takes bytes when the test says so. */
export class FakeStream {
  held = 0;
  taken: Buffer[] = [];
  onRelease: () => void = () => {};
  onGone: () => void = () => {};
  readonly #waiting: { readonly data: Buffer; readonly notice: boolean }[] = [];

  write(data: Buffer, notice = false): void {
    this.held += data.length;
    this.#waiting.push({ data, notice });
  }

  /** Takes the first write that is held; false when there is none. */
  take(): boolean {
    const first = this.#waiting.shift();
    if (!first) return false;
    this.held -= first.data.length;
    this.taken.push(first.data);
    if (first.notice) this.onRelease();
    return true;
  }

  asStream(): EventStream {
    return this as unknown as EventStream;
  }
}
