/** A router that does what the test says: a bare LinkService on a real socket. */
import { once } from 'node:events';
import type { AttachRequest, Embed } from '../../proto/gen/infermesh/v1/link.ts';
import {
  AttachRequest as AttachRequestType,
  AttachResponse,
  Embed as EmbedType,
  LinkServiceService,
  Work,
} from '../../proto/gen/infermesh/v1/link.ts';
import type { RawDuplex } from '../../proto/transport/handlers.ts';
import { encodeMessage } from '../../proto/transport/messages.ts';
import { GrpcServer } from '../../proto/transport/server.ts';

type Sent = NonNullable<AttachResponse['frame']>;
type Came = NonNullable<AttachRequest['frame']>;
type Kind = Came['$case'];
type Value<K extends Kind> = Extract<Came, { $case: K }>['value'];

/** One node's stream. */
export class NodeStream {
  readonly #call: RawDuplex;
  readonly #came: Came[] = [];

  constructor(call: RawDuplex) {
    this.#call = call;
    call.on('error', () => {});
    call.on('data', (bytes: Buffer) => {
      const { frame } = AttachRequestType.decode(bytes);
      if (!frame) return;
      this.#came.push(frame);
      call.emit('frame');
    });
    call.once('end', () => call.end());
  }

  send(frame: Sent): void {
    this.#call.write(encodeMessage(AttachResponse, { frame }));
  }

  welcome(): void {
    this.send({ $case: 'welcome', value: { routerId: 'fake', reportIntervalMs: 1000 } });
  }

  work(work: Partial<Work> = {}): void {
    this.send({ $case: 'work', value: Work.fromPartial({ request: 1, epoch: 1, model: 'm', deadlineMs: 60_000, ...work }) });
  }

  embed(embed: Partial<Embed> = {}): void {
    const value = { request: 1, model: 'm', texts: ['a text'], deadlineMs: 60_000, ...embed };
    this.send({ $case: 'embed', value: EmbedType.fromPartial(value) });
  }

  /** Ends the stream as a router that goes away. */
  end(): void {
    this.#call.end();
  }

  /** The next frame of a kind, of those that came since the last one asked for; frames before it are passed over. */
  async next<K extends Kind>(kind: K, fits: (value: Value<K>) => boolean = () => true): Promise<Value<K>> {
    for (;;) {
      for (let frame = this.#came.shift(); frame; frame = this.#came.shift()) {
        if (frame.$case === kind && fits(frame.value as Value<K>)) return frame.value as Value<K>;
      }
      await once(this.#call, 'frame');
    }
  }
}

export class FakeRouter implements AsyncDisposable {
  readonly #server = new GrpcServer({ address: '127.0.0.1:0' });
  readonly #streams: NodeStream[] = [];
  readonly #waiting: ((stream: NodeStream) => void)[] = [];
  address = '';

  static async start(): Promise<FakeRouter> {
    const router = new FakeRouter();
    const handle = (call: RawDuplex) => router.#take(new NodeStream(call));
    router.#server.addService(LinkServiceService, { attach: { kind: 'bidi', handle } });
    router.address = `127.0.0.1:${await router.#server.listen()}`;
    return router;
  }

  #take(stream: NodeStream): void {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(stream);
    else this.#streams.push(stream);
  }

  /** The next stream that a node opens. */
  attached(): Promise<NodeStream> {
    const stream = this.#streams.shift();
    return stream ? Promise.resolve(stream) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close(0);
  }
}
