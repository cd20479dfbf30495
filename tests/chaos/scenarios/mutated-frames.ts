import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { connect as dial } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LinkServiceService } from '../../../proto/gen/infermesh/v1/link.ts';
import { framed } from '../../../proto/transport/framing.ts';
import type { RawDuplex } from '../../../proto/transport/handlers.ts';
import { bearer } from '../../../proto/transport/join-token.ts';
import { GrpcServer } from '../../../proto/transport/server.ts';
import { residentBytes } from '../../bench/support/process.ts';
import { seeded } from '../../support/clock.ts';
import type { Member } from '../../support/mesh.ts';
import { TOKEN } from '../../support/mesh.ts';
import type { Scenario } from '../scenario.ts';
import { pause, poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';
import { mutated } from '../support/mutate.ts';
import { ATTACH, connectionBytes, HELLO, NODE_FRAMES, REQUESTS, ROUTER_FRAMES } from '../support/valid-frames.ts';

const FRAMES = 200_000;
const SEED = 20_261_121;
const AT_ONCE = 300;
/** Of what was sent before something broke. */
const MOST_KEPT = 500;
const CALL_LIMIT_MS = 400;
const FRAMES_OF_A_STREAM = 4;
const FRAMES_OF_A_CONNECTION = 8;
const CORPUS = fileURLToPath(new URL('../corpus/', import.meta.url));
const RATE = 20;
/** Of what a process wrote that broke, in characters. */
const LAST_WORDS = 2000;

export const mutatedFrames: Scenario = {
  name: 'mutated-frames',
  does: `${FRAMES} mutated protobuf messages, link frames and HTTP/2 bytes are sent to a router, and to a node by a router of ours.`,
  targets: [
    ...WHOLE,
    { figure: 'processes_lost', most: 0, unit: 'processes' },
    { figure: 'defects_logged', most: 0, unit: 'defects' },
    { figure: 'left_open', most: 0, unit: 'requests' },
    { figure: 'frames', least: FRAMES, unit: 'frames' },
  ],
  /** @param scale `streams` is the number of frames here */
  async run({ streams: frames = FRAMES }) {
    const random = seeded(SEED);
    const sent = { calls: 0, links: 0, connections: 0 };
    /** The last ones, for the corpus should something break. */
    const recent: Buffer[] = [];
    const note = (bytes: Buffer) => {
      recent.push(bytes);
      if (recent.length > MOST_KEPT) recent.shift();
      return bytes;
    };
    await using bad = await BadRouter.start(() => note(mutated(ROUTER_FRAMES, random)));
    await using fleet = await Fleet.start([{ id: 'canned', replay: `rate=${RATE}`, slots: 100 }]);
    fleet.startNode({ id: 'bait', model: 'bait', replay: 'rate=0,length=8', slots: 100, join: [fleet.address, bad.address] });
    await fleet.serving(['bait']);
    await using load = await Load.start({
      routers: fleet.routers,
      model: 'canned',
      streams: 20,
      tokens: 2 * RATE,
      prompt: 'beside',
    });
    await load.flowing(20);
    const before = residentBytes(fleet.router().pid);
    const broken = () => [fleet.router(), ...fleet.nodes.values()].filter(isBroken);
    const lost = () => broken().length;
    const connection = await connectionBytes();
    let drained = 0;
    const calls = new Calls(fleet.address);
    for (const kept of corpus()) for (const path of Object.keys(REQUESTS)) await calls.send(path, [framed(kept)]);
    const total = () => sent.calls + sent.links + sent.connections + bad.sent;
    while (total() < frames && lost() === 0) {
      const wave: Promise<void>[] = [];
      for (let n = 0; n < AT_ONCE; n++) {
        const kind = random();
        if (kind < 0.6) {
          const paths = Object.keys(REQUESTS);
          const path = paths[Math.floor(random() * paths.length)] as string;
          const message = note(mutated(REQUESTS[path] as Buffer[], random));
          // Now and then the frame around the message is what is wrong.
          const body = random() < 0.9 ? framed(message) : note(mutated([framed(message)], random));
          wave.push(calls.send(path, [body]));
          sent.calls++;
        } else if (kind < 0.9) {
          const parts = Array.from({ length: FRAMES_OF_A_STREAM }, () => framed(note(mutated(NODE_FRAMES, random))));
          wave.push(calls.send(ATTACH, random() < 0.7 ? [framed(HELLO), ...parts] : parts));
          sent.links += FRAMES_OF_A_STREAM;
        } else {
          const bytes = Array.from({ length: FRAMES_OF_A_CONNECTION }, () => mutated([connection], random));
          wave.push(rawConnection(fleet.address, note(Buffer.concat(bytes))));
          sent.connections += FRAMES_OF_A_CONNECTION;
        }
      }
      bad.talk(AT_ONCE);
      // Among so many frames some are right, and ask the node to drain: it does, as from any of its routers.
      if (fleet.node('bait').process.exitCode === 0) {
        drained++;
        fleet.startNode('bait');
      }
      await Promise.all(wave);
    }
    calls.close();
    if (lost() > 0) keep(recent);
    const result = await load.stop(15_000);
    const open = async () => {
      const { requestsOpen, attemptsOpen } = await fleet.client.stats();
      return requestsOpen + attemptsOpen;
    };
    if (lost() === 0) {
      await poll(async () => ((await open()) === 0 ? true : undefined), 10_000);
      // The node that was talked to badly serves its good router.
      await fleet.serving(['bait']);
      await fleet.client.ask({ messages: 'hello', model: 'bait', maxTokens: 3 });
    }
    return {
      figures: {
        ...streamFigures(result),
        frames: total(),
        mutated_messages: sent.calls,
        mutated_link_frames: sent.links,
        mutated_http2: sent.connections,
        mutated_frames_to_a_node: bad.sent,
        processes_lost: lost(),
        node_drained: drained,
        defects_logged: (
          fleet
            .router()
            .output()
            .match(/"event":"defect"/g) ?? []
        ).length,
        router_growth_mb: lost() === 0 ? (residentBytes(fleet.router().pid) - before) / 2 ** 20 : Number.NaN,
        left_open: lost() === 0 ? await open() : Number.NaN,
      },
      notes: [
        ...failuresOf(result.verdicts),
        ...broken().map(
          ({ process, output }) => `Ended by ${process.signalCode ?? process.exitCode}:\n${output().slice(-LAST_WORDS)}`,
        ),
      ],
    };
  },
};

/** It ended, and not in order. */
function isBroken({ process }: Member): boolean {
  return process.signalCode !== null || (process.exitCode !== null && process.exitCode !== 0);
}

/** Calls that are right down to HTTP/2 and wrong in what they carry. */
class Calls {
  readonly #address: string;
  #session: ClientHttp2Session | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /** Resolves when the call has ended, or was given up. */
  send(path: string, body: readonly Buffer[]): Promise<void> {
    const session = this.#connection();
    const headers = {
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: bearer(TOKEN),
      'grpc-timeout': '200m',
    };
    return new Promise((resolve) => {
      const stream = session.request(headers);
      const limit = setTimeout(() => stream.close(8), CALL_LIMIT_MS);
      stream.on('error', () => {});
      stream.resume();
      stream.once('close', () => {
        clearTimeout(limit);
        resolve();
      });
      for (const part of body) stream.write(part);
      stream.end();
    });
  }

  #connection(): ClientHttp2Session {
    if (this.#session && !this.#session.closed && !this.#session.destroyed) return this.#session;
    this.#session = dial(`http://${this.#address}`);
    this.#session.on('error', () => {});
    return this.#session;
  }

  close(): void {
    this.#session?.destroy();
  }
}

async function rawConnection(address: string, bytes: Buffer): Promise<void> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {});
  socket.resume();
  socket.end(bytes);
  const limit = setTimeout(() => socket.destroy(), CALL_LIMIT_MS);
  await closed;
  clearTimeout(limit);
}

/** A router that welcomes nodes and then says what `next` gives. */
class BadRouter implements AsyncDisposable {
  readonly #server = new GrpcServer({ address: '127.0.0.1:0' });
  readonly #next: () => Buffer;
  readonly #open = new Set<RawDuplex>();
  address = '';
  sent = 0;

  private constructor(next: () => Buffer) {
    this.#next = next;
  }

  static async start(next: () => Buffer): Promise<BadRouter> {
    const router = new BadRouter(next);
    router.#server.addService(LinkServiceService, { attach: { kind: 'bidi', handle: (call) => router.#take(call) } });
    router.address = `127.0.0.1:${await router.#server.listen()}`;
    return router;
  }

  #take(call: RawDuplex): void {
    this.#open.add(call);
    const gone = () => this.#open.delete(call);
    call.on('data', () => {});
    call.on('error', gone);
    call.once('end', () => {
      gone();
      call.end();
    });
    call.once('close', gone);
    call.write(ROUTER_FRAMES[0] as Buffer);
  }

  /** Says so much to the nodes that are there; to none when none is. */
  talk(frames: number): void {
    for (const call of this.#open) {
      for (let n = 0; n < frames; n++) {
        call.write(this.#next());
        this.sent++;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#open) call.end();
    await pause(10);
    await this.#server.close(0);
  }
}

function corpus(): Buffer[] {
  try {
    return readdirSync(CORPUS)
      .filter((name) => name.endsWith('.bin'))
      .map((name) => readFileSync(join(CORPUS, name)));
  } catch {
    return [];
  }
}

/** What was sent last before something broke: one of these did it. */
function keep(recent: readonly Buffer[]): void {
  mkdirSync(CORPUS, { recursive: true });
  for (const [n, bytes] of recent.entries()) writeFileSync(join(CORPUS, `broke-${SEED}-${n}.bin`), bytes);
}
