/**
 * Requests that engines died on, by fingerprint, which are refused for ten minutes. A fingerprint is a keyed hash, so
 * that nobody reads a prompt off it.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { ChatRequest } from '../../proto/gen/infermesh/v1/inference.ts';
import type { Clock } from '../clock.ts';

export const QUARANTINE_MS = 600_000;
const MOST = 10_000;

export class Quarantine {
  readonly #clock: Clock;
  readonly #key = randomBytes(32);
  /** Until when, by fingerprint; oldest first. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(chat: ChatRequest): void {
    const print = this.#fingerprint(chat);
    this.#until.delete(print);
    this.#until.set(print, this.#clock.now() + QUARANTINE_MS);
    const [oldest] = this.#until.keys();
    if (this.#until.size > MOST && oldest !== undefined) this.#until.delete(oldest);
  }

  has(chat: ChatRequest): boolean {
    this.#forget();
    // Nearly always: no request is hashed while nothing is kept.
    return this.#until.size > 0 && this.#until.has(this.#fingerprint(chat));
  }

  #forget(): void {
    const now = this.#clock.now();
    for (const [print, until] of this.#until) {
      if (now < until) break;
      this.#until.delete(print);
    }
  }

  /** Of what the engine sees. */
  #fingerprint({ messages, jsonSchema }: ChatRequest): string {
    const hmac = createHmac('sha256', this.#key);
    for (const { role, text } of messages) hmac.update(`${role} ${text.length} ${text}\n`);
    return hmac.update(jsonSchema).digest('base64');
  }
}
