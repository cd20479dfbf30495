/**
 * One request to an Ollama and its answer, as the `fetch` that the library is given. The library's own ways would not do:
 *
 * - its abort() cuts all requests of a client, and none whose answer has not begun, which is the time in which a prompt
 *   is read; so each request has a client, and a signal, of its own;
 * - Node's fetch gives up after 300 s without an answer, which a long queue or a cold load may take;
 * - a line that is no JSON it skips, and prints to the console, and with it a user's answer.
 *
 * What goes wrong is thrown as a Fault, here already. A connection serves one request: a pooled one may be closed by the
 * server in the moment in which the next request takes it.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Fault } from '../../../proto/contract/faults.ts';
import { retryAfterOf } from '../retry-after.ts';
import { lost, unreachable } from './faults.ts';
import { JsonLines } from './lines.ts';

/** Of an answer that is read as a whole: 64 vectors of 8,192 numbers have some 12 MB. */
const LONGEST_ANSWER_BYTES = 64 << 20;
const LONGEST_ERROR_BYTES = 65_536;

/**
 * @param status of HTTP; 200 for an error in the middle of a stream
 * @param retryAfterMs when it wants to be asked again, where it says so
 */
export type ErrorReader = (status: number, message: string, retryAfterMs?: number) => Fault;

export class Exchange {
  readonly #faultOf: ErrorReader;
  #request: ClientRequest | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #cut = false;

  /** @param faultOf what an error of Ollama means */
  constructor(faultOf: ErrorReader) {
    this.#faultOf = faultOf;
  }

  /** For the library, once. */
  readonly fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (this.#cut) throw CANCELLED;
    const response = await this.#send(url, init);
    const status = response.statusCode ?? 0;
    const json = /^application\/json\b/i.test(response.headers['content-type'] ?? '');
    if (status < 200 || status > 299) {
      throw this.#faultOf(status, await this.#messageOf(response), retryAfterOf(response.headers, Date.now()));
    }
    if (json) return new Response(await this.#whole(response), { status });
    return new Response(ReadableStream.from(this.#lines(response)), { status });
  };

  /** Resolves when nothing of the request is left; Ollama notices at the next token. */
  get closed(): Promise<void> {
    return this.#request ? this.#closed.promise : Promise.resolve();
  }

  /** Cuts what still runs. More than once is once. */
  cut(): void {
    this.#cut = true;
    this.#request?.destroy();
  }

  #send(url: URL, { method = 'GET', headers, body }: RequestInit): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const text = typeof body === 'string' ? Buffer.from(body) : undefined;
    const length = text ? { 'Content-Length': String(text.length) } : {};
    const request = send(url, { method, agent: false, headers: { ...(headers as Record<string, string>), ...length } });
    let connected = false;
    this.#request = request;
    request.once('socket', (socket) => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
      });
    });
    request.once('response', resolve);
    request.once('close', () => this.#closed.resolve());
    // It stays, since a socket may fail again after it was cut.
    request.on('error', (error) => {
      const code = codeOf(error);
      reject(this.#cut ? CANCELLED : connected ? lost(code) : unreachable(url.origin, code));
    });
    request.end(text);
    return promise;
  }

  async #whole(response: IncomingMessage): Promise<string> {
    const text = (await this.#bytes(response, LONGEST_ANSWER_BYTES)).toString();
    const answer = objectOf(text);
    if (!answer) throw new Fault('ENGINE_FAILED', 'Ollama sent an answer that is not a JSON object');
    this.#checkError(answer);
    // In one line, as the library reads what is streamed; line breaks within texts of JSON are escaped.
    return text.replaceAll('\n', ' ');
  }

  async #bytes(response: IncomingMessage, most: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of this.#parts(response)) {
      bytes += part.length;
      if (bytes > most) throw new Fault('ENGINE_FAILED', `Ollama sent an answer over ${most} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  /** The words of an error, to be matched only. */
  async #messageOf(response: IncomingMessage): Promise<string> {
    const text = await this.#bytes(response, LONGEST_ERROR_BYTES).then(String, () => '');
    const error = objectOf(text)?.error;
    return error === undefined ? text : wordsOf(error);
  }

  /** Lines that were read and hold an object, as they come. */
  async *#lines(response: IncomingMessage): AsyncGenerator<Uint8Array> {
    const lines = new JsonLines();
    for await (const part of this.#parts(response)) yield* this.#encoded(lines.push(part));
    yield* this.#encoded(lines.end());
    // The library ends with the last chunk of an answer and does not ask for more, so the answer was broken off.
    if (!this.#cut) throw lost('');
  }

  *#encoded(objects: Iterable<object>): Generator<Uint8Array> {
    for (const object of objects) {
      this.#checkError(object);
      yield Buffer.from(`${JSON.stringify(object)}\n`);
    }
  }

  #checkError({ error }: { readonly error?: unknown }): void {
    if (error !== undefined) throw this.#faultOf(200, wordsOf(error));
  }

  async *#parts(response: IncomingMessage): AsyncGenerator<Buffer> {
    try {
      for await (const part of response) yield part as Buffer;
    } catch (error) {
      throw this.#cut ? CANCELLED : lost(codeOf(error));
    }
  }
}

/** @returns undefined for what is no JSON, of which the parser's own message would quote, and for what is no object */
function objectOf(text: string): { readonly error?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

const wordsOf = (error: unknown) => (typeof error === 'string' ? error : JSON.stringify(error));

const CANCELLED = new Fault('CANCELLED', 'cancelled');

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : 'no reason told');
