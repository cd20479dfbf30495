/** A server that speaks as much of Redis as a test wants it to, for what a real one does only when it is broken. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';

export interface FakeRedis extends AsyncDisposable {
  readonly url: string;
  /** Commands that came, in lower case. */
  readonly commands: readonly string[];
  /** Connections so far. */
  readonly connections: () => number;
  /** Resolves when this command comes next. */
  next(command: string): Promise<void>;
}

/** @param reply to a command, in the protocol's own form; undefined: none */
export async function startFakeRedis(reply: (command: string, socket: Socket) => string | undefined): Promise<FakeRedis> {
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  const waiters = new Set<(command: string) => void>();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      for (const command of commandsIn(data)) {
        commands.push(command);
        for (const waiter of waiters) waiter(command);
        const answer = usual(command) ?? reply(command, socket);
        if (answer !== undefined) socket.write(answer);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: `redis://127.0.0.1:${port}`,
    commands,
    connections: () => connections,
    next: (command) =>
      new Promise((resolve) => {
        const waiter = (came: string) => {
          if (came !== command) return;
          waiters.delete(waiter);
          resolve();
        };
        waiters.add(waiter);
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** What every connection begins with. */
function usual(command: string): string | undefined {
  if (command === 'hello') return '%1\r\n$5\r\nproto\r\n:3\r\n';
  if (command === 'client') return '+OK\r\n';
  if (command === 'info') return '$22\r\nredis_version:7.0.15\r\n\r\n';
  return undefined;
}

/** The names of whole commands; the tests' own are short enough to come in one piece. */
function commandsIn(data: Buffer): string[] {
  return [...data.toString('latin1').matchAll(/\*\d+\r\n\$\d+\r\n([A-Za-z]+)\r\n/g)].map(([, name = '']) => name.toLowerCase());
}

export const PONG = '+PONG\r\n';
