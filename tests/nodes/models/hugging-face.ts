/** A Hugging Face on loopback with a store for large files behind it, and the faults and malice that servers have. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HuggingFace extends AsyncDisposable {
  /** For HF_ENDPOINT. */
  readonly url: string;
  /** In order: METHOD HOST RANGE, where the host is hub or store. */
  readonly requests: readonly string[];
  /** HOST AUTHORIZATION of the requests that had one. */
  readonly authorizations: readonly string[];
  /** What user/repo/tiny.gguf is from now on. */
  put(content: Buffer): void;
  /** How answers are to be wrong; each only until it is set anew. */
  readonly wrong: Wrong;
  /** Resolves when the store holds an answer. */
  held(): Promise<void>;
}

export interface Wrong {
  /** The hub answers without a redirect, as small mirrors do. */
  direct?: boolean;
  /** No digest, tag or size of the file at the hub. */
  silent?: boolean;
  /** Told in place of the file's own. */
  size?: number | undefined;
  sha256?: string | undefined;
  /** Where the hub sends to. */
  location?: string | undefined;
  /** Bytes of the next answer after which its connection breaks. */
  cutAfter?: number | undefined;
  /** What the file is once a connection broke. */
  thenPut?: Buffer;
  /** Bytes after which answers stand still. */
  holdAfter?: number | undefined;
  /** The store's answers have no length, and more bytes than the file. */
  endless?: boolean;
  /** The store answers every request with the whole file. */
  noRanges?: boolean;
  /** What the store gives in place of the file. */
  other?: Buffer | undefined;
}

const PATH = '/user/repo/resolve/main/tiny.gguf';

export async function startHuggingFace(content: Buffer): Promise<HuggingFace> {
  const requests: string[] = [];
  const authorizations: string[] = [];
  const wrong: Wrong = {};
  let file = content;
  let onHeld: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    onHeld = resolve;
  });

  const note = (host: string, { method, headers }: IncomingMessage) => {
    requests.push(`${method} ${host} ${headers.range ?? ''}`.trim());
    if (headers.authorization) authorizations.push(`${host} ${headers.authorization}`);
  };

  const store = createServer((request, response) => {
    note('store', request);
    give(request, response);
  });
  const hub = createServer((request, response) => {
    note('hub', request);
    if (request.url?.startsWith('/user/gated/')) return response.writeHead(401).end();
    if (request.url !== PATH) return response.writeHead(404).end();
    const tag = wrong.sha256 ?? createHash('sha256').update(file).digest('hex');
    const told = wrong.silent ? {} : { 'x-linked-etag': `"${tag}"`, 'x-linked-size': String(wrong.size ?? file.length) };
    if (wrong.direct) {
      for (const [name, value] of Object.entries(told)) response.setHeader(name, value);
      return give(request, response);
    }
    return response.writeHead(302, { ...told, location: wrong.location ?? `${urlOf(store)}blob` }).end();
  });

  function give(request: IncomingMessage, response: ServerResponse): void {
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const whole = wrong.other ?? file;
    const start = wrong.noRanges ? 0 : Number(from ?? 0);
    if (start > 0 && start >= whole.length) {
      response.writeHead(416).end();
      return;
    }
    const body = whole.subarray(start);
    const range = start > 0 ? { 'content-range': `bytes ${start}-${whole.length - 1}/${whole.length}` } : {};
    response.writeHead(start > 0 ? 206 : 200, wrong.endless ? {} : { 'content-length': body.length, ...range });
    if (request.method === 'HEAD') response.end();
    else if (wrong.endless) pour(response);
    else if (wrong.cutAfter !== undefined) {
      response.write(body.subarray(0, wrong.cutAfter), () => response.destroy());
      wrong.cutAfter = undefined;
      file = wrong.thenPut ?? file;
    } else if (wrong.holdAfter !== undefined) response.write(body.subarray(0, wrong.holdAfter), onHeld);
    else response.end(body);
  }

  await Promise.all([hub, store].map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
  return {
    url: urlOf(hub),
    requests,
    authorizations,
    wrong,
    put(changed) {
      file = changed;
    },
    held: () => held,
    async [Symbol.asyncDispose]() {
      for (const server of [hub, store]) {
        server.closeAllConnections();
        await once(server.close(), 'close');
      }
    },
  };
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** As fast as it is read, until the other side has had enough. */
function pour(response: ServerResponse): void {
  while (!response.destroyed && response.write(Buffer.alloc(1 << 16))) {}
  if (!response.destroyed) response.once('drain', () => pour(response));
}
