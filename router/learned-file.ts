/**
 * What the router has learnt of its models, on disk: read at the start, written each minute and at the end.
 *
 * It has the replica of this run and those of runs before (cache/shared/replica-set.ts). A run goes on with the replica of
 * the one before only if nobody else can: that one ended in order, and the file is the very one it wrote, not a copy.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Replica } from '../cache/shared/replica-set.ts';
import { MOST_REPLICAS } from '../cache/shared/replica-set.ts';
import { Fault, invalid } from '../proto/contract/faults.ts';
import type { Clock } from './clock.ts';
import { Bandit } from './select/bandit/bandit.ts';
import { Learned } from './share/learned.ts';

const SAVE_INTERVAL_MS = 60_000;
const VERSION = 2;
/** Of all rewards together, faded: a run that taught less has been forgotten. */
const LEAST_WEIGHT = 0.01;

const SCHEMA = z.object({
  version: z.literal(VERSION, `must be ${VERSION}, or 1`),
  /** Tells the file from a copy. */
  mark: z.string(),
  /** By the run that wrote it last, at its end. */
  closed: z.boolean(),
  /** This run's first. */
  replicas: z.array(
    z.object({
      id: z.string().regex(/^[\w-]{1,64}$/, 'must be an identity'),
      version: z.int().min(0),
      parts: z.array(z.tuple([z.string(), z.int().min(1), z.unknown()])),
    }),
  ),
});
type Content = z.infer<typeof SCHEMA>;

type Time = Pick<Clock, 'now' | 'wall'>;

/** @returns a new one where there is no file yet. @throws Fault INVALID_REQUEST when the file can't be used */
export function readLearned(path: string | undefined, clock: Time): Learned {
  if (path === undefined || !existsSync(path)) return new Learned({ clock });
  const text = readText(path);
  const json = parsed(path, text);
  if ((json as { version?: unknown } | null)?.version === 1) return new Learned({ clock, past: [replicaOfFirst(json, text)] });
  const checked = SCHEMA.safeParse(json);
  if (!checked.success) {
    throw invalid(
      checked.error.issues.map(({ path: at, message }) => ({ field: at.join('.') || 'learned', description: message })),
    );
  }
  const content = checked.data;
  // Whatever is wrong with a part is to be told before anything is written over it.
  for (const { parts } of content.replicas) for (const [, , part] of parts) Bandit.restore(part);
  const [own, ...past] = content.replicas.map(replicaOf);
  if (own && isResumable(path, content)) return new Learned({ clock, own, past: heaviest(past, clock.wall()) });
  return new Learned({ clock, past: heaviest([...(own ? [own] : []), ...past], clock.wall()) });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Fault('INVALID_REQUEST', `cannot read --learned ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function parsed(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault('INVALID_REQUEST', `cannot read --learned ${path}: it is not JSON`);
  }
}

/** Of the first version, which had no replicas; of every copy it is the same one. */
function replicaOfFirst(json: unknown, text: string): Replica {
  const bandit = Bandit.restore(json);
  const parts = bandit.partNames.map((name) => [name, { version: 1, body: JSON.stringify(bandit.part(name)) }] as const);
  return { id: `file-${createHash('sha256').update(text).digest('hex').slice(0, 32)}`, version: 1, parts: new Map(parts) };
}

function replicaOf({ id, version, parts }: Content['replicas'][number]): Replica {
  const read = parts.map(([name, newest, part]) => [name, { version: newest, body: JSON.stringify(part) }] as const);
  return { id, version, parts: new Map(read) };
}

/** Whether this run may go on with the replica; from then on no other may. */
function isResumable(path: string, content: Content): boolean {
  if (!content.closed || content.mark === '' || content.mark !== markOf(statSync(path, { bigint: true }))) return false;
  try {
    replace(path, (mark) => JSON.stringify({ ...content, mark, closed: false }));
    return true;
  } catch {
    return false;
  }
}

/** A copy has another inode, or another birth. Where the file system keeps no births, there is no telling. */
function markOf({ ino, birthtimeNs }: { readonly ino: bigint; readonly birthtimeNs: bigint }): string {
  return birthtimeNs === 0n ? '' : `${ino}-${birthtimeNs}`;
}

function heaviest(replicas: readonly Replica[], now: number): Replica[] {
  return replicas
    .map((replica) => ({ replica, weight: weightOf(replica, now) }))
    .filter(({ weight }) => weight >= LEAST_WEIGHT)
    .toSorted((a, b) => b.weight - a.weight)
    .slice(0, MOST_REPLICAS)
    .map(({ replica }) => replica);
}

function weightOf({ parts }: Replica, now: number): number {
  const counts = [...parts.values()].map(({ body }) => {
    const { arms, folded, reference, halfLifeMs } = Bandit.restore(JSON.parse(body)).snapshot();
    const count = [...arms, ...folded].reduce((sum, { total }) => sum + total[0], 0);
    return reference === null ? 0 : count * 2 ** (reference - now / halfLifeMs);
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Puts a new file in the old one's place at once, so that a crash leaves one of the two whole. */
function replace(path: string, text: (mark: string) => string): void {
  const unfinished = `${path}.${process.pid}.new`;
  try {
    const file = openSync(unfinished, 'w');
    try {
      writeFileSync(file, `${text(markOf(fstatSync(file, { bigint: true })))}\n`);
    } finally {
      closeSync(file);
    }
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

export class LearnedFile {
  readonly #path: string;
  readonly #learned: Learned;
  readonly #onProblem: (message: string) => void;
  readonly #stop: () => void;
  #failing = false;

  /** @param onProblem told once when it can't be written, and again only after it could */
  constructor(path: string, learned: Learned, clock: Clock, onProblem: (message: string) => void) {
    this.#path = path;
    this.#learned = learned;
    this.#onProblem = onProblem;
    this.#stop = clock.every(SAVE_INTERVAL_MS, () => this.save());
  }

  /** @param closed this run learns nothing more */
  save(closed = false): void {
    this.#learned.collect(Number.POSITIVE_INFINITY);
    const replicas = this.#learned.replicas.ours.map(written).join(',');
    try {
      replace(this.#path, (mark) => `{"version":${VERSION},"mark":"${mark}","closed":${closed},"replicas":[${replicas}]}`);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#onProblem(`cannot write --learned ${this.#path}: ${(error as NodeJS.ErrnoException).code}`);
      this.#failing = true;
    }
  }

  close(): void {
    this.#stop();
    this.save(true);
  }
}

/** Parts are JSON already. */
function written({ id, version, parts }: Replica): string {
  const known = [...parts].filter(([, { body }]) => body !== '');
  const all = known.map(([name, part]) => `[${JSON.stringify(name)},${part.version},${part.body}]`);
  return `{"id":"${id}","version":${version},"parts":[${all.join(',')}]}`;
}
