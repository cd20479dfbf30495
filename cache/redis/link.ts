/**
 * The way to Redis: asks it while it answers, and otherwise says at once that nobody knows. What has waited for
 * ASK_LIMIT_MS is given up, and with it everything else that waits, until a probe is answered in that time.
 */
import type { Clock } from '../clock.ts';
import type { RedisCommands, RedisLink } from '../port.ts';
import { Calls, whenOver } from './calls.ts';
import { Circuit } from './circuit.ts';
import type { ClientEvents, RedisClient } from './client.ts';
import { codeOf, servesNothing, writesNothing } from './replies.ts';
import type { RedisChange } from './standing.ts';
import { Standing } from './standing.ts';

/** How long an answer is waited for, and a probe's, unless told otherwise: less than the 50 ms that a request may lose. */
export const ASK_LIMIT_MS = 40;
/** For what no request waits for: less than the client's own limit, so that it is this one that tells. */
export const BACKGROUND_LIMIT_MS = 150;
/** So many probes in a row over one connection, then another connection is tried. */
const PROBES_PER_CONNECTION = 3;
/** A server that is read-only may have been replaced behind its name: how often to look. */
const READONLY_RECONNECT_MS = 30_000;
const SENTINEL_RECONNECT_MS = 1_000;
/** Who is not there by then is not there. */
const START_LIMIT_MS = 500;

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
  readonly #startedAt: number;
  readonly #standing: Standing;
  readonly #circuit: Circuit;
  readonly #calls: Calls;
  readonly #client: RedisClient;
  readonly #listeners = new Set<() => void>();
  #version = '';
  #failedProbes = 0;
  #reconnectedAt = Number.NEGATIVE_INFINITY;
  /** The connection is given up on purpose, which is no outage. */
  #reconnecting = false;

  constructor({ kind, clock, connect, limitMs = ASK_LIMIT_MS, onState = () => undefined }: ConnectionOptions) {
    this.kind = kind;
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#limitMs = limitMs;
    this.#standing = new Standing(clock, onState);
    this.#circuit = new Circuit({ clock, probe: () => this.#probe(), onChange: (state) => this.#changed(state) });
    this.#calls = new Calls(clock, () => this.#late());
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
    const { made, failed, skipped } = this.#calls;
    const { state, reason } = this.#standing.told ?? { state: 'down', reason: '' };
    return { state, reason, version: this.#version, calls: made, failed, skipped };
  }

  onUp(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @param limitMs absent: what a request may wait for; BACKGROUND_LIMIT_MS for what none does */
  ask<Answer>(commands: (redis: RedisCommands) => Promise<Answer>, limitMs = 0): Promise<Answer | undefined> {
    return this.#askOf(this.#client, commands, limitMs);
  }

  /** Every server that names lie on, to be asked by itself; none while Redis is not asked. */
  servers(): readonly Pick<RedisConnection, 'ask'>[] {
    const masters = this.isUp ? this.#client.masters() : [];
    return masters.map((one) => ({ ask: (commands, limitMs = 0) => this.#askOf(one, commands, limitMs) }));
  }

  async #askOf<Answer>(
    redis: RedisCommands,
    commands: (redis: RedisCommands) => Promise<Answer>,
    limitMs: number,
  ): Promise<Answer | undefined> {
    if (!this.isUp || this.#calls.isFull) {
      this.#calls.skipped++;
      return undefined;
    }
    return this.#calls.make(() => commands(this.#heardOf(redis)), Math.max(limitMs, this.#limitMs));
  }

  /** The same commands, whose replies tell how Redis is. */
  #heardOf(redis: RedisCommands): RedisCommands {
    return {
      call: async (command, ...args) => {
        try {
          const reply = await this.#calls.send(args, () => redis.call(command, ...args));
          if (this.#standing.refusals.succeeded(command)) this.#tell();
          return reply;
        } catch (error) {
          this.#heard(command, codeOf(error));
          throw error;
        }
      },
    };
  }

  #heard(command: string, code: string): void {
    if (code === 'LOST' || servesNothing(code)) this.#lost(code);
    else if (writesNothing(code)) {
      if (this.#standing.refusals.refused(command, code)) this.#tell();
      if (code === 'READONLY') this.#lookForTheMaster();
    }
  }

  #late(): void {
    this.#standing.reason = 'LATE';
    this.#circuit.late();
  }

  #lost(code: string): void {
    // A connection that was given up on purpose tells nothing but that nothing came.
    this.#standing.reason = this.#reconnecting && code === 'LOST' ? 'LATE' : code;
    if (this.#reconnecting) this.#circuit.late();
    else this.#circuit.failed();
    if (!this.#standing.told) this.#tell();
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
    const cameUp = state === 'up' && this.#standing.told?.state !== 'up' && this.#standing.told?.state !== 'limited';
    if (state !== 'up') this.#calls.giveUpAll();
    if (state !== 'suspect') this.#tell();
    if (!cameUp) return;
    void this.#readVersion();
    for (const listener of this.#listeners) listener();
  }

  #tell(): void {
    this.#standing.tell(this.#circuit.state);
  }

  async #readVersion(): Promise<void> {
    const info = await this.#client.call('info', 'server').catch(() => '');
    const [, version] = /^(?:valkey|redis)_version:([\w.-]{1,32})\r?$/m.exec(String(info)) ?? [];
    if (version !== undefined) this.#version = version;
  }

  /** Every server that names lie on answers in time. */
  async #probe(): Promise<boolean> {
    if (!this.#standing.told && this.#clock.now() - this.#startedAt >= START_LIMIT_MS) this.#tell();
    await this.#client.refresh();
    if (this.#client.masters().length === 0) return false;
    const serves = await this.#servesInTime();
    this.#failedProbes = serves ? 0 : this.#failedProbes + 1;
    if (this.#failedProbes >= PROBES_PER_CONNECTION) {
      this.#failedProbes = 0;
      this.#reconnecting = true;
      this.#client.reconnect();
    }
    return serves;
  }

  #servesInTime(): Promise<boolean> {
    return new Promise((resolve) => {
      let isLate = false;
      const cancel = whenOver(this.#clock, this.#limitMs, () => {
        isLate = true;
        resolve(false);
      });
      const end = (serves: boolean) => {
        cancel();
        resolve(serves);
      };
      this.#client.isServing().then(end, (error) => {
        // What is late ends with its connection, which is no news.
        if (!isLate) this.#standing.reason = codeOf(error);
        end(false);
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#standing.end();
    this.#circuit[Symbol.dispose]();
    this.#calls.giveUpAll();
    this.#client.close();
  }
}
