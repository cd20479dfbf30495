/**
 * The place of one model on a node's shelf. Its state follows from who is there:
 *
 *   loadable -> loading -> serving <-> recovering
 *      ^                      |
 *      +------ draining <-----+
 *
 * While a new engine takes over from an old one under the same name the place serves throughout: the old one finishes
 * what it has among those that leave.
 */

import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { ModelState } from '../../proto/gen/infermesh/v1/types.ts';
import type { Resident } from './resident.ts';
import type { PreparedModel } from './source.ts';
import type { KeptModel } from './view.ts';

/** What a disk and an engine do where nobody has measured it: bytes per millisecond, and milliseconds for the process. */
const ASSUMED = { bytesPerMs: 200_000, startMs: 1000 } as const;
/** How long a load on demand waits after one that failed, in milliseconds. */
const REST = { first: 5000, longest: 300_000 } as const;

export class Place implements KeptModel {
  readonly name: string;
  remote: boolean;
  /** Who takes work. */
  current: Resident | undefined;
  /** Who is being loaded. */
  coming: Resident | undefined;
  /** Who finishes what it has. */
  readonly leaving = new Set<Resident>();
  /** Commands that will bring it into memory, or are about to. */
  wanted = 0;
  #known: ServedModel;
  #needBytes: number;
  #loadMs: number;
  #lastUsedAt: number;
  #failures = 0;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor({ served, needBytes, remote }: PreparedModel, now: number) {
    this.name = served.name;
    this.remote = remote;
    this.#known = served;
    this.#needBytes = needBytes;
    this.#loadMs = served.sizeBytes > 0 ? ASSUMED.startMs + served.sizeBytes / ASSUMED.bytesPerMs : 0;
    this.#lastUsedAt = now;
  }

  get state(): ModelState {
    if (this.current) return this.current.ready ? ModelState.MODEL_STATE_SERVING : ModelState.MODEL_STATE_RECOVERING;
    if (this.coming) return this.coming.engine.crashes > 0 ? ModelState.MODEL_STATE_RECOVERING : ModelState.MODEL_STATE_LOADING;
    if (this.leaving.size > 0) return ModelState.MODEL_STATE_DRAINING;
    return this.wanted > 0 ? ModelState.MODEL_STATE_LOADING : ModelState.MODEL_STATE_LOADABLE;
  }

  get residents(): readonly Resident[] {
    return [this.current, this.coming, ...this.leaving].filter((resident) => resident !== undefined);
  }

  get served(): ServedModel {
    return this.current?.served ?? this.coming?.served ?? this.#known;
  }

  get running(): number {
    return this.residents.reduce((sum, { taken }) => sum + taken, 0);
  }

  get lastUsedAt(): number {
    return this.current?.lastUsedAt ?? this.#lastUsedAt;
  }

  /** In memory now, or needed for it. */
  get memoryBytes(): number {
    const { residents } = this;
    return residents.length === 0 ? this.#needBytes : residents.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  }

  get crashes(): number {
    return this.residents.reduce((sum, { engine }) => sum + engine.crashes, 0);
  }

  /** How long a load takes: as it took the last time, else by its size; 0: unknown. */
  get loadMs(): number {
    return this.#loadMs;
  }

  /** When a load on demand may be tried again. */
  get restsUntil(): number {
    return this.#restsUntil;
  }

  /** The one that was loaded takes over; whoever was there begins to leave, and is returned. */
  serve(resident: Resident): Resident | undefined {
    const before = this.current;
    this.coming = undefined;
    this.current = resident;
    this.remote = resident.remote;
    this.#failures = 0;
    this.#restsUntil = Number.NEGATIVE_INFINITY;
    this.#loadMs = resident.loadMs;
    if (before) this.leaving.add(before);
    return before;
  }

  /** Nobody takes work any more. */
  close(): Resident | undefined {
    const before = this.current;
    this.current = undefined;
    if (before) this.leaving.add(before);
    return before;
  }

  gone(resident: Resident): void {
    this.leaving.delete(resident);
    if (this.residents.length > 0) return;
    this.#known = resident.served;
    this.#needBytes = resident.memoryBytes;
    this.#lastUsedAt = resident.lastUsedAt;
  }

  /** A load failed for the model's own sake. */
  failed(now: number): void {
    this.#restsUntil = now + Math.min(REST.longest, REST.first * 2 ** this.#failures);
    this.#failures++;
  }
}
