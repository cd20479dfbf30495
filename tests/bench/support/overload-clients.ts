/**
 * Clients that ask more than a mesh can answer, in a process of their own: ordinary grpc-js calls without any retry, open
 * loop at a rate, or closed loop with so many at a time.
 */
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { ChatRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { seeded } from '../../support/clock.ts';

export interface Load {
  readonly type: 'load';
  readonly address: string;
  readonly maxTokens: number;
  readonly seconds: number;
  readonly tenants: readonly TenantLoad[];
}

export interface TenantLoad {
  /** API key. */
  readonly key: string;
  /** Requests per second, at the times of a Poisson process; 0: closed loop. */
  readonly rate: number;
  /** Of a closed loop. */
  readonly atOnce: number;
}

/** What became of a tenant's requests, without the first fifth of the time, in which the lines fill. */
export interface Ends {
  readonly answered: number;
  readonly answeredPerSecond: number;
  /** From the call to its status, of those that were refused as too many. */
  readonly refusedMs: readonly number[];
  /** By gRPC code, all others. */
  readonly errors: Readonly<Record<string, number>>;
}

const METHOD = '/infermesh.v1.InferenceService/Chat';
const CONNECTIONS = 4;
const RESOURCE_EXHAUSTED = 8;
const WARM_SHARE = 0.2;
const identity = (buffer: Buffer) => buffer;

class TenantClients {
  readonly #load: Load;
  readonly #tenant: TenantLoad;
  readonly #metadata = new Metadata();
  readonly #clients: Client[];
  readonly #random: () => number;
  readonly #startedAt = performance.now();
  #serial = 0;
  #answered = 0;
  #refusedMs: number[] = [];
  #errors: Record<string, number> = {};

  constructor(load: Load, tenant: TenantLoad, index: number) {
    this.#load = load;
    this.#tenant = tenant;
    this.#random = seeded(index + 1);
    this.#metadata.set('authorization', `Bearer ${tenant.key}`);
    const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
    this.#clients = Array.from({ length: CONNECTIONS }, () => new Client(load.address, credentials.createInsecure(), options));
  }

  async run(): Promise<Ends> {
    if (this.#tenant.rate > 0) await this.#open();
    else await Promise.all(Array.from({ length: this.#tenant.atOnce }, () => this.#closed()));
    for (const client of this.#clients) client.close();
    const answeredPerSecond = this.#answered / (this.#load.seconds * (1 - WARM_SHARE));
    return { answered: this.#answered, answeredPerSecond, refusedMs: this.#refusedMs, errors: this.#errors };
  }

  get #elapsed(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  async #open(): Promise<void> {
    const all: Promise<void>[] = [];
    let due = 0;
    while (this.#elapsed < this.#load.seconds) {
      for (; due <= this.#elapsed; due += -Math.log(1 - this.#random()) / this.#tenant.rate) all.push(this.#ask());
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await Promise.all(all);
  }

  async #closed(): Promise<void> {
    while (this.#elapsed < this.#load.seconds) await this.#ask();
  }

  #ask(): Promise<void> {
    const { maxTokens } = this.#load;
    const messages = [{ role: Role.ROLE_USER, text: `tell me story number ${this.#serial++}` }];
    const request = Buffer.from(ChatRequest.encode(ChatRequest.fromPartial({ messages, maxTokens })).finish());
    const client = this.#clients[this.#serial % CONNECTIONS] as Client;
    const startedAt = performance.now();
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + 120_000 };
      const call = client.makeServerStreamRequest(METHOD, identity, identity, request, this.#metadata, options);
      call.on('data', () => {});
      // It is told again by the status, which also comes after a good end.
      call.on('error', () => {});
      call.on('status', ({ code }) => {
        this.#ended(code, performance.now() - startedAt);
        resolve();
      });
    });
  }

  #ended(code: number, ms: number): void {
    const elapsed = this.#elapsed;
    if (elapsed < WARM_SHARE * this.#load.seconds || elapsed > this.#load.seconds) return;
    if (code === 0) this.#answered++;
    else if (code === RESOURCE_EXHAUSTED) this.#refusedMs.push(ms);
    else this.#errors[code] = (this.#errors[code] ?? 0) + 1;
  }
}

process.on('message', async (load: Load) => {
  const ends = await Promise.all(load.tenants.map((tenant, index) => new TenantClients(load, tenant, index).run()));
  process.send?.({ type: 'ended', ends });
});
