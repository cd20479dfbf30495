/** Keeps the snapshot of a cache: read at the start, written each minute and at the end where something has changed. */
import { rm } from 'node:fs/promises';
import type { CacheEvent } from '../telemetry/cache-events.ts';
import type { Clock } from './clock.ts';
import type { CacheLayer } from './layer.ts';
import { kindOf } from './names.ts';
import type { KeyKind } from './port.ts';
import { readSnapshot, writeSnapshot } from './snapshot.ts';

const SAVE_EVERY_MS = 60_000;
const MAX_HITS_KEPT = 0xffff;

type SnapshotLayer = Pick<CacheLayer<never>, 'changes' | 'recent' | 'restore'>;

export interface SnapshotParts {
  readonly path: string;
  readonly layers: Readonly<Partial<Record<KeyKind, SnapshotLayer>>>;
  readonly clock: Pick<Clock, 'every'>;
  readonly tell: (event: CacheEvent) => void;
}

export class SnapshotFile {
  readonly #parts: SnapshotParts;
  readonly #stop: () => void;
  /** Changes that the file has; undefined: it may have what was purged. */
  #saved: number | undefined;
  /** A purge in the middle of writing makes what is being written old. */
  #purges = 0;
  #saving: Promise<void> = Promise.resolve();
  #failing = false;

  constructor(parts: SnapshotParts) {
    this.#parts = parts;
    this.#load();
    this.#saved = this.#changes;
    this.#stop = parts.clock.every(SAVE_EVERY_MS, () => void this.save());
  }

  /** Where something has changed since the last time; one after the other. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  /** What was purged is not to be found in the file either. */
  purged(): Promise<void> {
    this.#purges++;
    this.#saved = undefined;
    return this.save();
  }

  close(): Promise<void> {
    this.#stop();
    return this.save();
  }

  get #all(): readonly SnapshotLayer[] {
    return Object.values(this.#parts.layers);
  }

  get #changes(): number {
    return this.#all.reduce((sum, { changes }) => sum + changes, 0);
  }

  async #save(): Promise<void> {
    const { path, tell } = this.#parts;
    const changes = this.#changes;
    if (changes === this.#saved) return;
    const purges = this.#purges;
    try {
      if (await writeSnapshot(path, this.#all, () => this.#purges !== purges)) this.#saved = changes;
      this.#failing = false;
    } catch (error) {
      if (this.#saved === undefined) await rm(path, { force: true }).catch(() => undefined);
      if (!this.#failing) tell({ type: 'cache_snapshot_failed', code: codeOf(error) });
      this.#failing = true;
    }
  }

  #load(): void {
    const { path, layers, tell } = this.#parts;
    try {
      // The most used one last, so that it is the last to make room for others.
      for (const { name, sealed, expiresAt, hits } of readSnapshot(path)?.toReversed() ?? []) {
        const kind = kindOf(name);
        // What was asked for long ago counts less with every start.
        if (kind) layers[kind]?.restore(name, sealed, expiresAt, Math.min(MAX_HITS_KEPT, hits >> 1));
      }
    } catch (error) {
      tell({ type: 'cache_snapshot_ignored', code: codeOf(error) });
    }
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'DAMAGED';
}
