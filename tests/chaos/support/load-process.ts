/**
 * Clients in a process of their own, which check every stream they hold. Run as a script, steered by messages: start,
 * then stop. Raw HTTP/2 where the router is the subject; the client library where its own part is.
 */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { connect as dial } from 'node:http2';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Mesh } from '../../../client/index.ts';
import { connect, Fault } from '../../../client/index.ts';
import { faultOf } from '../../../proto/contract/status.ts';
import { ChatRequest, ChatResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed, PREFIX_BYTES } from '../../../proto/transport/framing.ts';
import type { Event, Verdict } from './check.ts';
import { StreamCheck } from './check.ts';
import { monotonicMs, pause } from './clock.ts';

export interface LoadOptions {
  /** HOST:PORT of the routers; raw clients use the first. */
  readonly routers: readonly string[];
  /** Through client/ instead of raw HTTP/2. */
  readonly library?: boolean;
  /** Streams kept open: one that ends is followed by another. */
  readonly streams?: number;
  /** Instead of that: so many new ones a second, whatever becomes of those before. */
  readonly arrivalsPerSecond?: number;
  /** The streams are opened evenly over so long. */
  readonly rampMs?: number;
  readonly tokens: number;
  /** What is asked for, where answers end by themselves before; absent: `tokens`. */
  readonly maxTokens?: number;
  readonly model?: string;
  /** Raw clients only; absent: every request is new, and its answer drawn by chance. */
  readonly repeated?: Repeated;
  /** Begins every prompt, which goes on with a number. */
  readonly prompt: string;
  /** False: each stream is opened once. */
  readonly again?: boolean;
  /** Each is cancelled at a moment within so long after its first token. */
  readonly cancelWithinMs?: number;
  /** Of each request; absent: 120,000. */
  readonly deadlineMs?: number;
}

/** Requests that may be answered from a cache, as those of other load processes with the same prompt may. */
export interface Repeated {
  /** Of all requests. */
  readonly share: number;
  /** They ask one of so many prompts, of which the oldest gives way to a new one so often. */
  readonly prompts: number;
  readonly newPerSecond: number;
}

export interface LoadResult {
  readonly verdicts: readonly Verdict[];
  /** The longest that this process itself stood still, which every gap may contain. */
  readonly ownLagMs: number;
}

export type ToLoad =
  | { readonly type: 'start'; readonly options: LoadOptions }
  /** No new ones; what is open may end within `limitMs`, and is cancelled then. */
  | { readonly type: 'stop'; readonly limitMs: number }
  | { readonly type: 'count' };

type Question = { role: 2; text: string }[];

const PATH = '/infermesh.v1.InferenceService/Chat';
const STREAMS_OF_A_CONNECTION = 500;
const UNFINISHED = 'UNFINISHED';

class Load {
  readonly #options: LoadOptions;
  readonly #sessions: ClientHttp2Session[] = [];
  readonly #library: Mesh | undefined;
  readonly #open = new Set<(why: string) => void>();
  readonly verdicts: Verdict[] = [];
  #stopped = false;
  #serial = 0;
  #tokens = 0;
  #idle: () => void = () => {};

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#library = options.library ? connect(options.routers.join(',')) : undefined;
  }

  get tokens(): number {
    return this.#tokens;
  }

  get open(): number {
    return this.#open.size;
  }

  async run(): Promise<void> {
    const { streams = 0, arrivalsPerSecond = 0, rampMs = 0 } = this.#options;
    const startedAt = monotonicMs();
    for (let begun = 0; begun < streams && !this.#stopped; ) {
      const due = rampMs === 0 ? streams : Math.ceil((streams * (monotonicMs() - startedAt + 1)) / rampMs);
      for (; begun < Math.min(due, streams); begun++) this.#begin();
      if (begun < streams) await pause(5);
    }
    for (let begun = 0; arrivalsPerSecond > 0 && !this.#stopped; await pause(5)) {
      const due = Math.floor(((monotonicMs() - startedAt) * arrivalsPerSecond) / 1000);
      for (; begun < due; begun++) this.#begin();
    }
  }

  async stop(limitMs: number): Promise<void> {
    this.#stopped = true;
    if (this.#open.size > 0) {
      const force = setTimeout(() => {
        for (const abort of [...this.#open]) abort(UNFINISHED);
      }, limitMs);
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      clearTimeout(force);
    }
    for (const session of this.#sessions) session.destroy();
    this.#library?.close();
  }

  /** @returns the number of a prompt that is asked again and again; undefined: of none */
  #again(): number | undefined {
    const { repeated } = this.#options;
    if (!repeated || Math.random() >= repeated.share) return undefined;
    // By the machine's clock, so that all processes ask the same at the same time.
    return Math.floor((monotonicMs() / 1000) * repeated.newPerSecond) - Math.floor(Math.random() * repeated.prompts);
  }

  #begin(): void {
    const again = this.#again();
    const { prompt } = this.#options;
    const text = again === undefined ? `${prompt} ${this.#serial++}` : `${prompt} again ${again}`;
    const messages: Question = [{ role: Role.ROLE_USER, text }];
    const check = new StreamCheck(messages, this.#options.tokens, monotonicMs());
    let aborted: string | undefined;
    let stop = () => {};
    const abort = (why: string) => {
      aborted ??= why;
      stop();
    };
    const take = (event: Event) => {
      const first = event.$case === 'delta' && !check.begun;
      check.event(event, monotonicMs());
      if (event.$case === 'delta') this.#tokens += event.value.tokens;
      if (first) this.#cancelLater(check, abort);
    };
    const end = (reason?: string) => {
      this.#open.delete(abort);
      this.verdicts.push(check.end(monotonicMs(), aborted ?? reason));
      // A refusal at once must not become a storm of its own.
      if (this.#options.again !== false && !this.#stopped && !this.#options.arrivalsPerSecond) {
        if (reason === undefined) this.#begin();
        else setTimeout(() => (this.#stopped ? this.#settled() : this.#begin()), 100);
      } else this.#settled();
    };
    this.#open.add(abort);
    stop = this.#library ? this.#ask(this.#library, messages, take, end) : this.#raw(messages, again !== undefined, take, end);
  }

  #settled(): void {
    if (this.#stopped && this.#open.size === 0) this.#idle();
  }

  #cancelLater(check: StreamCheck, abort: (why: string) => void): void {
    const { cancelWithinMs } = this.#options;
    if (cancelWithinMs === undefined) return;
    setTimeout(() => {
      check.cancelled(monotonicMs());
      abort('CANCELLED');
    }, Math.random() * cancelWithinMs);
  }

  #ask(
    mesh: Mesh,
    messages: readonly { text: string }[],
    take: (event: Event) => void,
    end: (reason?: string) => void,
  ): () => void {
    const { tokens: maxTokens, model, deadlineMs } = this.#options;
    const cancel = new AbortController();
    const run = async () => {
      const input = { messages: messages[0]?.text ?? '', maxTokens, ...(model === undefined ? {} : { model }) };
      const options = { signal: cancel.signal, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
      for await (const { type, ...value } of mesh.chat(input, options)) take({ $case: type, value } as Event);
    };
    run().then(
      () => end(),
      (fault: unknown) => end(fault instanceof Fault ? fault.reason : String(fault)),
    );
    return () => cancel.abort();
  }

  #raw(messages: Question, greedy: boolean, take: (event: Event) => void, end: (reason?: string) => void): () => void {
    const { tokens, maxTokens = tokens, model, deadlineMs = 120_000 } = this.#options;
    const target = model === undefined ? {} : { target: { $case: 'model', value: model } as const };
    const sampling = greedy ? { sampling: { temperature: 0 } } : {};
    const body = ChatRequest.encode(ChatRequest.fromPartial({ messages, maxTokens, ...target, ...sampling })).finish();
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session().request({
        ':method': 'POST',
        ':path': PATH,
        'content-type': 'application/grpc',
        te: 'trailers',
        'grpc-timeout': `${deadlineMs}m`,
      });
    } catch {
      setImmediate(() => end('UNREACHABLE'));
      return () => {};
    }
    let last: IncomingHttpHeaders = {};
    const splitter = new Splitter((message) => {
      const { event } = ChatResponse.decode(message);
      if (event) take(event);
    });
    const keep = (headers: IncomingHttpHeaders) => {
      last = headers;
    };
    stream.on('response', keep).on('trailers', keep);
    stream.on('data', (chunk: Buffer) => splitter.push(chunk));
    stream.on('error', () => {});
    stream.once('close', () => end(reasonOf(last)));
    stream.end(framed(body));
    return () => stream.close(8);
  }

  #session(): ClientHttp2Session {
    const index = Math.floor(this.#open.size / STREAMS_OF_A_CONNECTION);
    const known = this.#sessions[index];
    if (known && !known.destroyed && !known.closed) return known;
    const session = dial(`http://${this.#options.routers[0]}`, { settings: { initialWindowSize: 65_535 } });
    session.on('error', () => {});
    // All streams share the connection's window: it must not be what holds one back.
    session.on('connect', () => session.setLocalWindowSize(16 * 1024 * 1024));
    this.#sessions[index] = session;
    return session;
  }
}

function reasonOf(headers: IncomingHttpHeaders): string | undefined {
  if (headers['grpc-status'] === undefined) return 'UNREACHABLE';
  const code = Number(headers['grpc-status']);
  if (code === 0) return undefined;
  const details = Buffer.from(String(headers['grpc-status-details-bin'] ?? ''), 'base64');
  return faultOf(code, String(headers['grpc-message'] ?? ''), details).reason;
}

/** Whole gRPC messages out of the chunks they come in. */
class Splitter {
  readonly #take: (message: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(take: (message: Buffer) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + PREFIX_BYTES <= data.length) {
      const end = at + PREFIX_BYTES + data.readUInt32BE(at + 1);
      if (end > data.length) break;
      this.#take(data.subarray(at + PREFIX_BYTES, end));
      at = end;
    }
    this.#rest = data.subarray(at);
  }
}

const lag = monitorEventLoopDelay({ resolution: 5 });
let load: Load | undefined;

process.on('message', (message: ToLoad) => {
  if (message.type === 'start') {
    lag.enable();
    load = new Load(message.options);
    void load.run();
    process.send?.({ type: 'started' });
  } else if (message.type === 'count') {
    process.send?.({ type: 'counted', tokens: load?.tokens ?? 0, open: load?.open ?? 0, ended: load?.verdicts.length ?? 0 });
  } else {
    void load?.stop(message.limitMs).then(() => {
      const result: LoadResult = { verdicts: load?.verdicts ?? [], ownLagMs: lag.max / 1e6 };
      process.send?.({ type: 'stopped', ...result });
    });
  }
});
// Whoever steers this is gone.
process.on('disconnect', () => process.exit());
