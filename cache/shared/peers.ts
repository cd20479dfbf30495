/** The other routers, as far as what they write tells: who is there, who is not any more, and what is new of each. Pure. */
import { LRUCache } from 'lru-cache';
import { MOST_REPLICAS } from './replica-set.ts';
import type { Head } from './wire.ts';

/** Rounds in which a router wrote nothing, and Redis could be read, until it counts as gone. */
const SILENT_ROUNDS = 20;
/** A replica whose router is gone is looked at in one round of so many. */
const IDLE_EVERY = 16;
/** Batches of events of one router that are read in a round; who starts, or was away, reads so many of the last ones. */
export const MOST_BATCHES = 16;
/** Those that are listed, and those of this router's past. */
const MOST_PEERS = 2 * MOST_REPLICAS;
/** A clock may stand still while its machine sleeps, so none is held against it for long. */
const OFFSETS = 16;
/** Of one replica: of a copied machine, or a Redis that has lost what it was told last. */
const MOST_ROUTERS = 8;
/** After so many tries what can't be read is given up. */
const MOST_TRIES = 3;

export interface Peer {
  readonly id: string;
  head: Head | undefined;
  /** Its head was there when it was looked for last. */
  present: boolean;
  alive: boolean;
  /** Rounds since its head changed. */
  silent: number;
  /** What the clock here showed more than its own when its last heads were read, in ms. */
  offsets: number[];
  /** Of its batches, the last that was read; and of routers whose head was here before, which may be back. */
  read: number;
  readonly readBefore: LRUCache<string, number>;
  tries: number;
  /** Rounds in which its parts could not be read as its head tells. */
  broken: number;
}

export interface PeersOptions {
  readonly onSeen: (router: string) => void;
  readonly onGone: (router: string) => void;
}

export class Peers {
  readonly #options: PeersOptions;
  readonly #peers = new Map<string, Peer>();

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  get alive(): number {
    return [...this.#peers.values()].filter(({ alive }) => alive).length;
  }

  get ids(): string[] {
    return [...this.#peers.keys()];
  }

  get(id: string): Peer | undefined {
    return this.#peers.get(id);
  }

  add(id: string): void {
    if (this.#peers.has(id)) return;
    if (this.#peers.size >= MOST_PEERS) this.#makeRoom();
    this.#peers.set(id, {
      id,
      head: undefined,
      present: false,
      alive: false,
      silent: 0,
      offsets: [],
      read: -1,
      readBefore: new LRUCache({ max: MOST_ROUTERS }),
      tries: 0,
      broken: 0,
    });
  }

  /** Whoever has been silent for longest is forgotten; if it is listed it will be followed again. */
  #makeRoom(): void {
    const [least] = [...this.#peers.values()].toSorted((a, b) => b.silent - a.silent);
    if (!least) return;
    this.#gone(least);
    this.#peers.delete(least.id);
  }

  /** @returns whose heads to read in this round */
  due(round: number): string[] {
    return [...this.#peers.values()]
      .filter(({ alive, silent }) => alive || silent < SILENT_ROUNDS || round % IDLE_EVERY === 0)
      .map(({ id }) => id);
  }

  /** @param head as it is now; undefined: there is none, or none that can be read @param now by the clock here, in ms */
  saw(peer: Peer, head: Head | undefined, now: number): void {
    const before = peer.head;
    peer.present = head !== undefined;
    // Not by which is later: who puts a replica of its past back has another clock than who wrote it first.
    if (!head || (before && head.at === before.at && head.version === before.version)) {
      peer.silent++;
      if (peer.silent >= SILENT_ROUNDS) this.#gone(peer);
      return;
    }
    peer.head = head;
    peer.silent = 0;
    if (before?.router !== head.router) {
      peer.offsets = [];
      // A replica that goes on after a restart has another router, which numbers its batches from 1.
      if (before) peer.readBefore.set(before.router, peer.read);
      peer.read = peer.readBefore.get(head.router) ?? Math.max(0, head.batch - MOST_BATCHES);
    }
    peer.offsets = [...peer.offsets.slice(1 - OFFSETS), now - head.at];
    // One that left long ago has a head too; who is there is known by its moving on.
    if (before && !head.ended && !peer.alive) {
      peer.alive = true;
      this.#options.onSeen(head.router);
    } else if (head.ended) this.#gone(peer);
  }

  /** What its clock shows now: of the last heads the one that took least from there to here tells. */
  clockOf({ offsets }: Peer, now: number): number {
    return now - Math.min(...offsets);
  }

  #gone(peer: Peer): void {
    if (!peer.alive) return;
    peer.alive = false;
    this.#options.onGone(peer.head?.router ?? '');
  }

  /** Numbers of the batches to read next; what is older than the newest few is lost. */
  unread(peer: Peer): number[] {
    if (!peer.head) return [];
    const last = peer.head.batch;
    const first = Math.max(peer.read + 1, last - MOST_BATCHES + 1);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => first + n);
  }

  /**
   * @param asked numbers of batches, ascending @param came those that could be read
   * @returns whether what did not come is given up, or asked for again
   */
  readUpTo(peer: Peer, asked: readonly number[], came: readonly number[]): void {
    const last = came.at(-1);
    if (last !== undefined) peer.read = last;
    if (last === asked.at(-1)) peer.tries = 0;
    else if (++peer.tries >= MOST_TRIES) {
      peer.read = asked.at(-1) ?? peer.read;
      peer.tries = 0;
    }
  }

  /** @returns whether it has been unreadable for so long that it must be written anew */
  isBroken(peer: Peer, broken: boolean): boolean {
    peer.broken = broken ? peer.broken + 1 : 0;
    if (peer.broken < MOST_TRIES) return false;
    peer.broken = 0;
    return true;
  }
}
