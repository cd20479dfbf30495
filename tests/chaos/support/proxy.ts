/**
 * A TCP proxy on loopback that does to connections what bad networks do. In the process of who uses it: it carries little.
 * Every fault holds for the connections that are open and, until `mend`, for those that come.
 */
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

type Fault =
  | { readonly type: 'none' }
  /** Nothing goes through, and nobody is told: packets are lost on the way. */
  | { readonly type: 'swallow' }
  /** So many bytes a second, in either direction. */
  | { readonly type: 'slow'; readonly bytesPerSecond: number }
  /** What comes from the target comes so much later. */
  | { readonly type: 'late'; readonly ms: number }
  /** New connections are taken and reset at once. */
  | { readonly type: 'refuse' };

const TICK_MS = 100;

class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #isReply: boolean;
  #waiting: Buffer[] = [];
  #allowance = 0;

  /** @param isReply whether it carries what the target says */
  constructor(from: Socket, to: Socket, isReply: boolean) {
    this.#from = from;
    this.#to = to;
    this.#isReply = isReply;
  }

  take(chunk: Buffer, fault: Fault): void {
    if (fault.type === 'late' && this.#isReply) this.#passLater(chunk, fault.ms);
    else if (fault.type === 'none' || fault.type === 'late') this.#pass(chunk);
    else if (fault.type === 'slow') {
      this.#waiting.push(chunk);
      // The kernel's buffers then fill as they would behind a slow link.
      this.#from.pause();
    }
  }

  /** Timers of one length end in their order. */
  #passLater(chunk: Buffer, ms: number): void {
    this.#waiting.push(chunk);
    setTimeout(() => {
      // It has gone already where the proxy was mended meanwhile.
      if (this.#waiting[0] === chunk) this.#pass(this.#waiting.shift() as Buffer);
    }, ms);
  }

  #pass(chunk: Buffer): void {
    if (this.#to.destroyed || this.#to.write(chunk)) return;
    this.#from.pause();
    this.#to.once('drain', () => this.#from.resume());
  }

  tick(bytesPerSecond: number): void {
    this.#allowance = Math.min(this.#allowance + (bytesPerSecond * TICK_MS) / 1000, bytesPerSecond);
    while (this.#allowance >= 1 && this.#waiting.length > 0) {
      const [first = Buffer.alloc(0)] = this.#waiting;
      const part = first.subarray(0, Math.floor(this.#allowance));
      this.#allowance -= part.length;
      this.#to.write(part);
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
    }
    if (this.#waiting.length === 0) this.#from.resume();
  }

  release(): void {
    for (const chunk of this.#waiting) this.#to.write(chunk);
    this.#waiting = [];
    this.#from.resume();
  }

  /** Lets half of the next chunk through and ends the connection: a frame that never becomes whole. */
  cutInside(): void {
    this.#from.removeAllListeners('data');
    this.#from.once('data', (chunk: Buffer) => {
      this.#to.write(chunk.subarray(0, Math.max(1, chunk.length >> 1)), () => {
        this.#to.destroy();
        this.#from.destroy();
      });
    });
  }
}

export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pipes = new Set<Pipe>();
  readonly #ticking: NodeJS.Timeout;
  #fault: Fault = { type: 'none' };

  private constructor(target: string) {
    const [host = '', port = ''] = target.split(':');
    this.#server = createServer((near) => {
      if (this.#fault.type === 'refuse') return void near.resetAndDestroy();
      this.#join(near, connect(Number(port), host));
    });
    this.#ticking = setInterval(() => {
      if (this.#fault.type !== 'slow') return;
      for (const pipe of this.#pipes) pipe.tick(this.#fault.bytesPerSecond);
    }, TICK_MS);
  }

  /** @param target HOST:PORT that it stands before */
  static async before(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Connections that are open, one for each dialler. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Ends every connection at once, as a process that is killed does. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends every connection in the middle of what comes next. */
  cutInside(): void {
    for (const pipe of this.#pipes) pipe.cutInside();
  }

  /** Half open: the connections stay, and what is sent on them is lost. */
  swallow(): void {
    this.#fault = { type: 'swallow' };
  }

  slow(bytesPerSecond: number): void {
    this.#fault = { type: 'slow', bytesPerSecond };
  }

  /** Every reply of the target takes so much longer; what it is told does not. */
  late(ms: number): void {
    this.#fault = { type: 'late', ms };
  }

  refuse(): void {
    this.#fault = { type: 'refuse' };
  }

  /** What was lost stays lost. */
  mend(): void {
    this.#fault = { type: 'none' };
    for (const pipe of this.#pipes) pipe.release();
  }

  #join(near: Socket, far: Socket): void {
    const pipes = [new Pipe(near, far, false), new Pipe(far, near, true)] as const;
    for (const [socket, other, pipe] of [
      [near, far, pipes[0]],
      [far, near, pipes[1]],
    ] as const) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      this.#pipes.add(pipe);
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => pipe.take(chunk, this.#fault));
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#pipes.delete(pipe);
        // Half open means that the other side does not hear of it.
        if (this.#fault.type !== 'swallow') other.destroy();
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#ticking);
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
