/**
 * A backend service that uses the mesh: it reads bedtime stories aloud over HTTP, a piece as soon as it is there.
 *
 *   node client/examples/bedtime.ts            # serves http://127.0.0.1:8080
 *   curl -N 'http://127.0.0.1:8080/story?about=a+small+dragon'
 *
 * What a service has to get right is here: one connection for all requests, the reader's going away stops the model,
 * a deadline of its own, and faults turned into what its callers understand. In a project of yours the import is from
 * 'infermesh'.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { connect, Fault } from '../index.ts';

const mesh = connect(process.env.INFERMESH_ROUTER ?? '127.0.0.1:50051');
const port = Number(process.env.PORT ?? 8080);

/** What an HTTP client is told, by the reason of a fault; everything else is 502. */
const HTTP_STATUS: Readonly<Record<string, number>> = {
  INVALID_REQUEST: 400,
  QUEUE_FULL: 429,
  NO_NODE: 503,
  DEADLINE_EXCEEDED: 504,
};

async function story(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const about = new URL(request.url ?? '/', 'http://localhost').searchParams.get('about') ?? 'a small dragon';
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    const prompt = `Tell me a story about ${about}.`;
    for await (const event of mesh.chat({ messages: prompt, maxTokens: 150 }, { signal: gone.signal, deadlineMs: 30_000 })) {
      if (event.type === 'started')
        response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'x-model': event.model });
      else if (event.type === 'delta') response.write(event.text);
    }
    response.end('\n');
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    if (thrown.reason === 'CANCELLED') return;
    if (!response.headersSent) response.writeHead(HTTP_STATUS[thrown.reason] ?? 502, { 'content-type': 'text/plain' });
    response.end(`\n[${thrown.message}]\n`);
  }
}

const server = createServer((request, response) => void story(request, response));
server.listen(port, '127.0.0.1', () => {
  const { port: bound } = server.address() as { port: number };
  process.stdout.write(`reading stories on http://127.0.0.1:${bound}\n`);
});
process.once('SIGTERM', () => {
  server.close(() => mesh.close());
  server.closeAllConnections();
});
