/** Routers that share a store which a test breaks. */
import { SecretKeyring } from '../../../cache/keyring.ts';
import type { Store, Stored } from '../../../cache/port.ts';
import { Exchange } from '../../../cache/shared/exchange.ts';
import type { Replica } from '../../../cache/shared/replica-set.ts';
import { ReplicaSet } from '../../../cache/shared/replica-set.ts';
import type { Keys } from '../../../cache/shared/wire.ts';

/** As Redis is: there, gone, forgetful; or it does what it is asked and the answer is lost. */
export class BreakableStore implements Pick<Store, 'getAll' | 'set' | 'delete'> {
  values = new Map<string, Buffer>();
  up = true;
  losesReplies = false;
  /** Of what is read, so much is told. */
  mostAtOnce = Number.POSITIVE_INFINITY;
  asked = 0;
  /** Names, at once. */
  mostAsked = 0;
  written = 0;

  async getAll(names: readonly string[]): Promise<Stored[]> {
    this.asked++;
    this.mostAsked = Math.max(this.mostAsked, names.length);
    return names.map((name, i) => (this.up && i < this.mostAtOnce ? this.values.get(name) : 'unknown'));
  }

  async set(name: string, value: Buffer) {
    this.asked++;
    this.written++;
    if (this.up) this.values.set(name, value);
    return this.up && !this.losesReplies;
  }

  async delete(names: readonly string[]): Promise<number | 'unknown'> {
    return names.filter((name) => this.up && this.values.delete(name)).length;
  }
}

/** Seals nothing, for tests that are about something else and many. */
export const PLAIN: Keys = {
  ofMesh: (name) => ({ name, seal: (value) => Buffer.from(value), open: (sealed) => sealed }),
};

export interface TestRouter {
  readonly id: string;
  readonly replicas: ReplicaSet;
  readonly exchange: Exchange;
  readonly events: { readonly event: unknown; readonly at: number }[];
  readonly log: string[];
  /** By replica and name. */
  readonly told: ReadonlyMap<string, string>;
  /** Its own and what it was told, as text. */
  sum(): Record<string, string>;
}

export interface RouterOptions {
  /** Of its replica. */
  readonly id: string;
  /** Absent: as its replica. */
  readonly router?: string;
  readonly store: Pick<Store, 'getAll' | 'set' | 'delete'>;
  readonly past?: readonly Replica[];
  readonly secret?: string;
  readonly keys?: Keys;
  readonly now?: () => number;
}

export function startTestRouter({
  id,
  router = id,
  store,
  past = [],
  secret = 'of the mesh',
  keys = new SecretKeyring(secret),
  now = () => 0,
}: RouterOptions): TestRouter {
  const told = new Map<string, string>();
  const replicas = new ReplicaSet({
    own: { id },
    onPart: (replica, name, body) => {
      if (body === undefined) told.delete(`${replica} ${name}`);
      else told.set(`${replica} ${name}`, body);
    },
  });
  for (const one of past) replicas.remember(one);
  const events: TestRouter['events'] = [];
  const log: string[] = [];
  const exchange = new Exchange({
    store,
    keys,
    replicas,
    router,
    now,
    onEvents: (some, at) => events.push(...some.map((event) => ({ event, at }))),
    onSeen: (router) => log.push(`seen ${router}`),
    onGone: (router) => log.push(`gone ${router}`),
  });
  const sum = () => {
    const own = [...replicas.own.parts].map(([name, { body }]) => [`${id} ${name}`, body] as const);
    return Object.fromEntries([...own, ...told].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  };
  return { id, replicas, exchange, events, log, told, sum };
}

export const copyOf = ({ id, version, parts }: Replica): Replica => ({ id, version, parts: new Map(parts) });

/** Each router so many rounds, in turns. */
export async function rounds(routers: readonly TestRouter[], count: number): Promise<void> {
  for (let i = 0; i < count; i++) for (const { exchange } of routers) await exchange.round();
}
