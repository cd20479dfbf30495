/**
 * What the mesh's routers have learnt of its models: this one's lessons since it was started, as a replica that others
 * hear of, and theirs, as this one hears of them. Those of its own past are among the latter.
 */
import { randomBytes } from 'node:crypto';
import type { Replica } from '../../cache/shared/replica-set.ts';
import { ReplicaSet } from '../../cache/shared/replica-set.ts';
import type { Clock } from '../clock.ts';
import { Bandit } from '../select/bandit/bandit.ts';
import { SHARES } from '../select/bandit/parts.ts';

/** Of parts that are made anew at a time: an arm that has been asked about everything takes 40 KB, and a millisecond. */
const MOST_BYTES = 64 << 10;
/** What was served changes with every request and matters for an hour. */
const SHARES_EVERY_MS = 10_000;

export interface LearnedOptions {
  readonly clock: Pick<Clock, 'now' | 'wall'>;
  /** A replica that this router goes on with; absent: it begins a new one. */
  readonly own?: Replica | undefined;
  readonly past?: readonly Replica[];
}

export class Learned {
  readonly bandit = new Bandit();
  readonly replicas: ReplicaSet;
  readonly #clock: Pick<Clock, 'now' | 'wall'>;
  readonly #changed = new Set<string>();
  #sharesAt = Number.NEGATIVE_INFINITY;
  /** Parts of others that could not be used. */
  unusable = 0;

  constructor({ clock, own, past = [] }: LearnedOptions) {
    this.#clock = clock;
    for (const { body } of own?.parts.values() ?? []) this.bandit.merge(Bandit.restore(JSON.parse(body)));
    this.bandit.takeChanges();
    this.replicas = new ReplicaSet({
      own: own ?? { id: randomBytes(12).toString('base64url') },
      onPart: (replica, name, body) => this.#heed(replica, name, body),
    });
    for (const one of past) this.replicas.remember(one);
  }

  #heed(replica: string, name: string, body: string | undefined): void {
    const part = body === undefined ? undefined : parsed(body);
    const heeded = body !== undefined && part === undefined ? false : this.bandit.heed(replica, name, part, this.#clock.wall());
    if (!heeded) this.unusable++;
  }

  /** Brings the own replica up to date, as far as so many bytes go. */
  collect(mostBytes = MOST_BYTES): void {
    for (const name of this.bandit.takeChanges()) this.#changed.add(name);
    const now = this.#clock.now();
    const all = mostBytes === Number.POSITIVE_INFINITY;
    let bytes = 0;
    for (const name of [...this.#changed]) {
      if (bytes >= mostBytes) return;
      if (name === SHARES && !all && now - this.#sharesAt < SHARES_EVERY_MS) continue;
      this.#changed.delete(name);
      if (name === SHARES) this.#sharesAt = now;
      const part = this.bandit.part(name);
      const body = part && JSON.stringify(part);
      this.replicas.write(name, body);
      bytes += body?.length ?? 0;
    }
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
