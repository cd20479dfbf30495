/**
 * The way to Redis: asks it while it answers, and otherwise says at once that nobody knows. What has waited for
 * ASK_LIMIT_MS is given up, and with it everything else that waits, until a probe is answered in that time.
 */
import type { Clock } from '../clock.ts';
import type { RedisCommands, RedisLink } from '../port.ts';
import { Circuit } from './circuit.ts';
import type { ClientEvents, RedisClient } from './client.ts';
import { Refusals } from './refusals.ts';
import { codeOf, servesNothing, writesNothing } from './replies.ts';

/** How long an answer is waited for, and a probe's, unless told otherwise: less than the 50 ms that a request may lose. */
export const ASK_LIMIT_MS = 40;
/** For what no request waits for: less than the client's own limit, so that it is this one that tells. */
export const BACKGROUND_LIMIT_MS = 150;
/** Commands without a reply, and the bytes of their arguments; more is not asked. */
export const MOST_COMMANDS = 1_000;
export const MOST_BYTES = 32 << 20;
/** So many probes in a row over one connection, then another connection is tried. */
const PROBES_PER_CONNECTION = 3;
/** A server that is read-only may have been replaced behind its name: how often to look. */
const READONLY_RECONNECT_MS = 30_000;
const SENTINEL_RECONNECT_MS = 1_000;
/** Who is not there by then is not there. */
const START_LIMIT_MS = 500;

/** up: reads and writes. limited: reads, but refuses writes. down: is not asked. */
export interface RedisChange {
  readonly state: 'up' | 'limited' | 'down';
  /** A code of Redis or of the system, LATE, LOST or OTHER; empty when up. */
  readonly reason: string;
}

export interface RedisStatus extends RedisChange {
  /** Of the server, as it says; empty when it has not yet. */
  readonly version: string;
  readonly calls: number;
  /** Of the calls, those that brought nothing. */
  readonly failed: number;
  /** Calls that were not made. */
  readonly skipped: number;
}

export interface ConnectionOptions {
  readonly kind: RedisLink['kind'];
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly connect: (events: ClientEvents) => RedisClient;
  /** How long an answer is waited for, and a probe's; absent: ASK_LIMIT_MS. */
  readonly limitMs?: number | undefined;
  /** Told once for each change, the first state included. */
  readonly onState?: ((change: RedisChange) => void) | undefined;
}

export class RedisConnection implements RedisLink {
  readonly kind: RedisLink['kind'];
  readonly #clock: ConnectionOptions['clock'];
  readonly #limitMs: number;
  readonly #onState: (change: RedisChange) => void;
  readonly #client: RedisClient;
  readonly #circuit: Circuit;
  readonly #refusals: Refusals;
  readonly #listeners = new Set<() => void>();
  /** Ends every call that waits. */
  readonly #waiting = new Set<() => void>();
  #told: RedisChange = { state: 'down', reason: '' };
  #hasTold = false;
  #over = false;
  /** Of the state that is not told yet, or was told last. */
  #reason = 'LATE';
  readonly #startedAt: number;
  #version = '';
  #failedProbes = 0;
  #reconnectedAt = Number.NEGATIVE_INFINITY;
  /** The connection is given up on purpose, which is no outage. */
  #reconnecting = false;
  #commands = 0;
  #bytes = 0;
  #calls = 0;
  #failed = 0;
  #skipped = 0;

  constructor({ kind, clock, connect, limitMs = ASK_LIMIT_MS, onState = () => undefined }: ConnectionOptions) {
    this.kind = kind;
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#limitMs = limitMs;
    this.#onState = onState;
    this.#refusals = new Refusals(clock);
    this.#circuit = new Circuit({ clock, probe: () => this.#probe(), onChange: (state) => this.#changed(state) });
    this.#client = connect({
      ready: () => {
        this.#reconnecting = false;
        this.#circuit.hint();
      },
      lost: (error) => this.#lost(error === undefined ? 'LOST' : codeOf(error)),
    });
  }

  get isUp(): boolean {
    return this.#circuit.state === 'up';
  }

  status(): RedisStatus {
    const { state, reason } = this.#told;
    return { state, reason, version: this.#version, calls: this.#calls, failed: this.#failed, skipped: this.#skipped };
  }

  onUp(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @param limitMs absent: what a request may wait for; BACKGROUND_LIMIT_MS for what none does */
  ask<Answer>(commands: (redis: RedisCommands) => Promise<Answer>, limitMs = 0): Promise<Answer | undefined> {
    return this.#ask(() => commands(this.#bounded(this.#client)), limitMs);
  }

  /** Every server that names lie on, to be asked by itself; none while Redis is not asked. */
  servers(): readonly Pick<RedisConnection, 'ask'>[] {
    const masters = this.isUp ? this.#client.masters() : [];
    return masters.map((one) => ({
      ask: (commands, limitMs = 0) => this.#ask(() => commands(this.#bounded(one)), limitMs),
    }));
  }

  #ask<Answer>(commands: () => Promise<Answer>, limitMs: number): Promise<Answer | undefined> {
    if (!this.isUp || this.#commands >= MOST_COMMANDS) {
      this.#skipped++;
      return Promise.resolve(undefined);
    }
    this.#calls++;
    return new Promise((resolve) => {
      const end = (answer: Answer | undefined) => {
        if (!this.#waiting.delete(giveUp)) return;
        cancel();
        resolve(answer);
      };
      const giveUp = () => {
        if (this.#waiting.has(giveUp)) this.#failed++;
        end(undefined);
      };
      this.#waiting.add(giveUp);
      const cancel = this.#whenOver(Math.max(limitMs, this.#limitMs), () => {
        if (!this.#waiting.has(giveUp)) return;
        this.#late();
        giveUp();
      });
      attempt(commands).then(end, giveUp);
    });
  }

  /** When the time is over and what has arrived meanwhile has been read: a process that stood still blames nobody. */
  #whenOver(ms: number, run: () => void): () => void {
    return this.#clock.after(ms, () => setImmediate(run));
  }

  #bounded(redis: RedisCommands): RedisCommands {
    return { call: (command, ...args) => this.#call(redis, command, args) };
  }

  async #call(redis: RedisCommands, command: string, args: readonly (string | number | Buffer)[]): Promise<unknown> {
    const bytes = args.reduce<number>((sum, arg) => sum + (typeof arg === 'number' ? 8 : arg.length), 0);
    if (this.#commands >= MOST_COMMANDS || this.#bytes + bytes > MOST_BYTES) throw new Error('too much waits for Redis');
    this.#commands++;
    this.#bytes += bytes;
    try {
      const reply = await redis.call(command, ...args);
      if (this.#refusals.succeeded(command)) this.#tell();
      return reply;
    } catch (error) {
      this.#heard(command, codeOf(error));
      throw error;
    } finally {
      this.#commands--;
      this.#bytes -= bytes;
    }
  }

  #heard(command: string, code: string): void {
    if (code === 'LOST' || servesNothing(code)) this.#lost(code);
    else if (writesNothing(code)) {
      if (this.#refusals.refused(command, code)) this.#tell();
      if (code === 'READONLY') this.#lookForTheMaster();
    }
  }

  #late(): void {
    this.#reason = 'LATE';
    this.#circuit.late();
  }

  #lost(code: string): void {
    this.#reason = code;
    if (this.#reconnecting) this.#circuit.late();
    else this.#circuit.failed();
    if (!this.#hasTold) this.#tell();
  }

  /** Behind the same name there may be another server by now. */
  #lookForTheMaster(): void {
    const pause = this.kind === 'sentinel' ? SENTINEL_RECONNECT_MS : READONLY_RECONNECT_MS;
    if (this.kind === 'cluster' || this.#clock.now() - this.#reconnectedAt < pause) return;
    this.#reconnectedAt = this.#clock.now();
    this.#reconnecting = true;
    this.#client.reconnect();
  }

  #changed(state: Circuit['state']): void {
    if (state !== 'up') {
      for (const giveUp of [...this.#waiting]) giveUp();
      if (state === 'down') this.#tell();
      return;
    }
    const cameUp = !this.#hasTold || this.#told.state === 'down';
    this.#tell();
    if (!cameUp) return;
    void this.#readVersion();
    for (const listener of this.#listeners) listener();
  }

  #tell(): void {
    if (this.#over) return;
    const refusal = this.#refusals.code;
    const change: RedisChange =
      this.#circuit.state === 'down'
        ? { state: 'down', reason: this.#reason }
        : { state: refusal === undefined ? 'up' : 'limited', reason: refusal ?? '' };
    if (this.#hasTold && change.state === this.#told.state && (change.state === 'down' || change.reason === this.#told.reason))
      return;
    this.#told = change;
    this.#hasTold = true;
    this.#onState(change);
  }

  async #readVersion(): Promise<void> {
    const info = await this.#client.call('info', 'server').catch(() => '');
    const [, version] = /^(?:valkey|redis)_version:([\w.-]{1,32})\r?$/m.exec(String(info)) ?? [];
    if (version !== undefined) this.#version = version;
  }

  /** Every server that names lie on answers in time. */
  async #probe(): Promise<boolean> {
    if (!this.#hasTold && this.#clock.now() - this.#startedAt >= START_LIMIT_MS) this.#tell();
    await this.#client.refresh();
    if (this.#client.masters().length === 0) return false;
    const served = await this.#servedInTime();
    this.#failedProbes = served ? 0 : this.#failedProbes + 1;
    if (this.#failedProbes >= PROBES_PER_CONNECTION) {
      this.#failedProbes = 0;
      this.#client.reconnect();
    }
    return served;
  }

  #servedInTime(): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#whenOver(this.#limitMs, () => resolve(false));
      const end = (served: boolean) => {
        cancel();
        resolve(served);
      };
      this.#client.isServing().then(end, (error) => {
        this.#reason = codeOf(error);
        end(false);
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    this.#circuit[Symbol.dispose]();
    for (const giveUp of [...this.#waiting]) giveUp();
    this.#client.close();
  }
}

async function attempt<Answer>(commands: () => Promise<Answer>): Promise<Answer> {
  return commands();
}
