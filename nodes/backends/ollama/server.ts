/** An Ollama as a backend needs it: what it is, what it has, and a client of its own for each request. */
import { Ollama } from 'ollama';
import { Fault } from '../../../proto/contract/faults.ts';
import type { ErrorReader } from './exchange.ts';
import { Exchange } from './exchange.ts';
import type { Installed, Placement } from './facts.ts';
import { checkedVersion, findModel, PullProgress } from './facts.ts';
import { faultFrom, faultOf, pullFault, unreachable } from './faults.ts';

export interface Call {
  readonly client: Ollama;
  readonly exchange: Exchange;
}

export class OllamaServer {
  readonly #url: string;
  readonly #calls = new Set<Exchange>();
  #disposed = false;

  /** @param url such as http://127.0.0.1:11434 */
  constructor(url: string) {
    this.#url = url;
  }

  /** @throws Fault DRAINING once it is disposed */
  begin(readError: ErrorReader = faultOf): Call {
    if (this.#disposed) throw new Fault('DRAINING', 'the engine is shutting down');
    const exchange = new Exchange(readError);
    this.#calls.add(exchange);
    return { client: new Ollama({ host: this.#url, fetch: exchange.fetch }), exchange };
  }

  /** Resolves when nothing of the call is left. */
  async end({ exchange }: Call): Promise<void> {
    exchange.cut();
    await exchange.closed;
    this.#calls.delete(exchange);
  }

  /** @throws Fault: UNREACHABLE, ENGINE_FAILED and what else faults.ts has */
  async ask<T>(question: (client: Ollama) => Promise<T>, readError?: ErrorReader): Promise<T> {
    const call = this.begin(readError);
    try {
      return await question(call.client);
    } catch (thrown) {
      throw faultFrom(thrown);
    } finally {
      await this.end(call);
    }
  }

  /** @throws Fault UNREACHABLE also where it takes longer than `limitMs` */
  async version(limitMs: number): Promise<string> {
    const call = this.begin();
    const timer = setTimeout(() => call.exchange.cut(), limitMs);
    try {
      return checkedVersion(await call.client.version());
    } catch (thrown) {
      const fault = faultFrom(thrown);
      throw fault.reason === 'CANCELLED' ? unreachable(this.#url, `nothing came within ${limitMs} ms`) : fault;
    } finally {
      clearTimeout(timer);
      await this.end(call);
    }
  }

  async installed(model: string): Promise<Installed | undefined> {
    return findModel(await this.ask((client) => client.list()), model);
  }

  async show(model: string): Promise<object> {
    return this.ask((client) => client.show({ model }));
  }

  /** @param progress called with 0 to 1 */
  async pull(model: string, progress: (fraction: number) => void): Promise<void> {
    const seen = new PullProgress();
    const read = async (client: Ollama) => {
      for await (const step of await client.pull({ model, stream: true })) progress(seen.seen(step));
    };
    await this.ask(read, (_status, message) => pullFault(model, message));
  }

  /** Where the model lies now; undefined where it is not loaded. */
  async placement(model: string): Promise<Placement | undefined> {
    return findModel(await this.ask((client) => client.ps()), model);
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const calls = [...this.#calls];
    for (const exchange of calls) exchange.cut();
    await Promise.all(calls.map((exchange) => exchange.closed));
  }
}
