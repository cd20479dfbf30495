/**
 * Requests to one server. node:http rather than fetch: a response that is not read holds the server back, aborting closes
 * the connection, no redirect takes prompt and key elsewhere, and no timer of its own ends a long answer.
 */
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Fault } from '../../../proto/contract/faults.ts';
import type { Refusal } from './refusals.ts';
import { refusalOf } from './refusals.ts';

/** Of an error, or of an answer to a question about the server. */
const MOST_BODY_BYTES = 4 << 20;
/** Of an answer that is read as a whole: 64 vectors of 8,192 numbers have some 12 MB. */
const MOST_ANSWER_BYTES = 64 << 20;

/** The server said no. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.failure.message);
    this.refusal = refusal;
  }
}

export class Http {
  readonly #base: string;
  readonly #key: string | undefined;
  readonly #agent: Agent;

  /**
   * @param base URL that ends with the API's version, as a rule /v1, without a slash behind it
   * @param key of the API; goes into the Authorization header and nowhere else
   */
  constructor(base: string, key: string | undefined) {
    this.#base = base;
    this.#key = key;
    this.#agent = base.startsWith('https:') ? new HttpsAgent({ keepAlive: true }) : new Agent({ keepAlive: true });
  }

  /** For messages: where the server is. */
  get host(): string {
    return new URL(this.#base).host;
  }

  /**
   * @returns the response once the server has accepted the request; to be read to its end or destroyed
   * @throws Refused for a status other than 200, and what Node throws for connections that fail
   */
  async post(path: string, body: object, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#send('POST', this.#base + path, JSON.stringify(body), signal);
    if (response.statusCode === 200) return response;
    throw new Refused(await refusalIn(response));
  }

  /** @throws as post, and SyntaxError for what is no JSON */
  async postJson(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    return JSON.parse(await bodyOf(await this.post(path, body, signal), MOST_ANSWER_BYTES));
  }

  /**
   * @param path behind the API's version
   * @throws as post
   */
  async get(path: string, signal: AbortSignal): Promise<string> {
    const response = await this.#send('GET', this.#base + path, undefined, signal);
    if (response.statusCode === 200) return bodyOf(response);
    throw new Refused(await refusalIn(response));
  }

  /** What a server tells beside the API. @returns undefined where it does not, or not in time */
  async ask(path: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const url = this.#base.replace(/\/v\d+$/, '') + path;
      const response = await this.#send('GET', url, undefined, signal);
      if (response.statusCode === 200) return await bodyOf(response);
      response.destroy();
    } catch {
      // A server that does not know the question may as well close the connection.
    }
    return undefined;
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(method: string, url: string, body: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    for (;;) {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
      const send = url.startsWith('https:') ? httpsRequest : httpRequest;
      const sent = send(url, { method, agent: this.#agent, headers: this.#headers(body), signal }, resolve);
      // Also what comes after the response: whoever reads that is told too.
      sent.on('error', reject);
      sent.end(body);
      try {
        return await promise;
      } catch (error) {
        // The server closed the idle connection in the moment in which the request set out on it.
        if (!sent.reusedSocket || (error as NodeJS.ErrnoException).code !== 'ECONNRESET' || signal.aborted) throw error;
      }
    }
  }

  #headers(body: string | undefined): Record<string, string | number> {
    return {
      accept: 'text/event-stream, application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
    };
  }
}

async function refusalIn(response: IncomingMessage): Promise<Refusal> {
  const body = await bodyOf(response).catch(() => '');
  return refusalOf({ status: response.statusCode ?? 0, headers: response.headers, body }, Date.now());
}

/** @throws Fault ENGINE_FAILED for one that is too long */
async function bodyOf(response: IncomingMessage, most = MOST_BODY_BYTES): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > most) throw new Fault('ENGINE_FAILED', `the server sent over ${most} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The code of a connection's failure: ECONNREFUSED and the like. */
export function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  return typeof code === 'string' && /^[A-Z0-9_]{1,40}$/.test(code) ? code : error instanceof Error ? error.name : typeof error;
}
