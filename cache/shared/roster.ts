/** Which replicas there are, in one list that any router may write: who is missing is put in again, by whoever knows. Pure. */
import type { Peers } from './peers.ts';
import type { ReplicaSet } from './replica-set.ts';
import { MOST_REPLICAS } from './replica-set.ts';

/** A router that has just started can't tell yet who is gone. */
const SETTLED_ROUNDS = 40;

export class Roster {
  readonly #replicas: ReplicaSet;
  readonly #peers: Peers;
  #rounds = 0;

  constructor(replicas: ReplicaSet, peers: Peers) {
    this.#replicas = replicas;
    this.#peers = peers;
  }

  /** Those of the list that are not this router's own. */
  follow(roster: readonly string[]): string[] {
    return roster.filter((id) => id !== this.#replicas.own.id);
  }

  /**
   * @param last the own one is taken out, if nothing was ever contributed
   * @returns what the list is to be; undefined: as it is
   */
  next(roster: readonly string[], last: boolean): string[] | undefined {
    this.#rounds++;
    const { own, ours } = this.#replicas;
    if (last && own.version === 0) return roster.includes(own.id) ? roster.filter((id) => id !== own.id) : undefined;
    // Others that are known are put in again only while there is room: the list is what all agree on.
    const known = this.#peers.ids.filter((id) => this.#peers.get(id)?.present);
    const wanted = [...ours.filter(({ version }) => version > 0).map(({ id }) => id), ...known];
    const missing = [...new Set([own.id, ...wanted])].filter((id) => !roster.includes(id));
    if (missing.length === 0) return undefined;
    const room = MOST_REPLICAS - roster.length;
    if (room > 0) return [...roster, ...missing.slice(0, room)];
    const out = missing[0] === own.id && this.#rounds > SETTLED_ROUNDS ? this.#leastMissed(roster) : undefined;
    return out === undefined ? undefined : [...roster.filter((id) => id !== out), own.id];
  }

  /** Of those whose routers are gone: who never contributed anything, else who has been silent for longest. */
  #leastMissed(roster: readonly string[]): string | undefined {
    const gone = roster.filter((id) => !this.#peers.get(id)?.alive);
    const silent = (id: string) => {
      const peer = this.#peers.get(id);
      return peer?.head?.version === 0 ? Number.POSITIVE_INFINITY : (peer?.silent ?? 0);
    };
    return gone.toSorted((a, b) => silent(b) - silent(a))[0];
  }
}
