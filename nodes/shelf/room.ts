/**
 * Room for one more model, within the budget and within what the machine has left. One at a time comes in, so that the
 * same room is given to nobody twice. Whoever lacks room has models unloaded that nothing runs on and no command is about;
 * where others are about to leave anyway, it waits for them and lets those go first that fit.
 */
import type { Fault } from '../../proto/contract/faults.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import { whoLeaves } from './budget.ts';
import { noRoom, shuttingDown } from './faults.ts';
import type { Place } from './place.ts';
import type { Resident, ShelfClock } from './resident.ts';
import type { PreparedModel } from './source.ts';
import { Turns } from './turns.ts';
import type { LoadWish, OnStep } from './view.ts';

/** A model used so lately does not leave memory for one that is wanted on demand, or two would chase each other out. */
const IN_USE_MS = 30_000;
export const WAITING = { stage: ModelStage.MODEL_STAGE_WAITING, fraction: 0 } as const;

export interface RoomLimits {
  /** For all models together. */
  readonly budgetBytes: number;
  /**
   * What may still be taken of this machine's memory now, whoever uses the rest.
   * @param onDemand less: what comes because somebody waits for it must not be what makes memory short
   */
  readonly freeBytes: (onDemand: boolean) => number;
}

export interface RoomParts extends RoomLimits {
  readonly clock: ShelfClock;
  readonly places: () => readonly Place[];
  /** Whether a command is about the place, which then stays. */
  readonly busy: (place: Place) => boolean;
  /** Takes it out of memory; resolves when it is gone. */
  readonly evict: (place: Place) => Promise<void>;
  /** Aborted when the node ends. */
  readonly signal: AbortSignal;
}

export class Room {
  readonly #parts: RoomParts;
  readonly #turns = new Turns();
  #onLeft = Promise.withResolvers<void>();

  constructor(parts: RoomParts) {
    this.#parts = parts;
    parts.signal.addEventListener('abort', () => this.#onLeft.resolve(), { once: true });
  }

  /** Somebody has left memory. */
  left(): void {
    this.#onLeft.resolve();
    this.#onLeft = Promise.withResolvers();
  }

  /**
   * Calls `start` once there is room for the model.
   * @throws Fault NO_ROOM, DRAINING, and what `start` throws
   */
  async enter(model: PreparedModel, wish: LoadWish, onStep: OnStep, start: () => Promise<Resident>): Promise<Resident> {
    // A server outside takes no memory of ours, and may be away for hours.
    if (model.remote) return start();
    for (;;) {
      const left = this.#onLeft.promise;
      const resident = await this.#turns.take(
        ['the one that comes in'],
        async () => ((await this.#made(model, wish)) ? start() : undefined),
        () => onStep(WAITING),
      );
      if (resident) return resident;
      onStep(WAITING);
      await left;
    }
  }

  /** @returns false where there will be room when those that leave have left */
  async #made({ served, needBytes }: PreparedModel, wish: LoadWish): Promise<boolean> {
    for (;;) {
      if (this.#parts.signal.aborted) throw shuttingDown();
      const room = this.#bytesFor(wish);
      if (needBytes <= room) return true;
      const leaving = whoLeaves(needBytes - room, this.#idle(wish));
      if (leaving) {
        await Promise.all(leaving.map((place) => this.#parts.evict(place)));
        continue;
      }
      const leavingBytes = sum(this.#parts.places().flatMap((place) => [...place.leaving]));
      if (leavingBytes > 0 && needBytes <= room + leavingBytes) return false;
      throw this.#fault(served.name, needBytes, wish);
    }
  }

  /** What the budget and the machine leave. */
  #bytesFor({ onDemand = false }: LoadWish): number {
    return Math.min(this.#parts.budgetBytes - this.#usedBytes, this.#parts.freeBytes(onDemand));
  }

  get #usedBytes(): number {
    return sum(this.#parts.places().flatMap(({ residents }) => residents));
  }

  #idle({ onDemand = false, atStart = false }: LoadWish): Place[] {
    if (atStart) return [];
    const usedBefore = onDemand ? this.#parts.clock.now() - IN_USE_MS : Number.POSITIVE_INFINITY;
    return this.#parts.places().filter((place) => {
      const { current, remote, running, memoryBytes, lastUsedAt } = place;
      const idle = current !== undefined && !remote && running === 0 && memoryBytes > 0 && lastUsedAt <= usedBefore;
      return idle && !this.#parts.busy(place);
    });
  }

  #fault(name: string, needBytes: number, { onDemand = false }: LoadWish): Fault {
    const inMemory = this.#parts.places().filter(({ residents, remote }) => residents.length > 0 && !remote);
    const { budgetBytes, freeBytes } = this.#parts;
    return noRoom({ name, needBytes, budgetBytes, usedBytes: this.#usedBytes, freeBytes: freeBytes(onDemand), inMemory });
  }
}

function sum(residents: readonly Resident[]): number {
  return residents.reduce((bytes, { memoryBytes }) => bytes + memoryBytes, 0);
}
