/**
 * One puller per model, over all processes of the machine. The lock is a file that names its holder, which touches
 * it every few seconds; a lock whose process is gone, or that nobody touched for a while, is taken away.
 *
 * Taking away races with others who do the same, so two holders are possible for an instant, though very unlikely.
 * A holder sees at its next touch that the lock is no longer its own and stops; and since weights are only ever
 * renamed into place after their digest was checked, the worst outcome is a download that starts again.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { Fault } from '../../proto/contract/faults.ts';
import { cancelled } from './problems.ts';

const TOUCH_EVERY_MS = 2_000;
const STALE_AFTER_MS = 20_000;
const LOOK_AGAIN_MS = 200;

interface Holder {
  readonly id: string;
  readonly pid: number;
  readonly host: string;
}

/**
 * Runs `work` as the only holder of the lock, waiting for it first.
 * @param onWait called each time somebody else is found to hold it
 * @param work its signal ends with the caller's, or when the lock was lost
 */
export async function withLock<T>(
  path: string,
  options: { readonly signal?: AbortSignal | undefined; readonly onWait?: (() => void) | undefined },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const holder: Holder = { id: randomUUID(), pid: process.pid, host: hostname() };
  while (!(await take(path, holder))) {
    options.onWait?.();
    await removeIfStale(path);
    if (options.signal?.aborted) throw cancelled();
    await pause(LOOK_AGAIN_MS, undefined, options.signal ? { signal: options.signal } : {}).catch(() => {
      throw cancelled();
    });
  }
  const lost = new AbortController();
  const touching = setInterval(() => void touch(path, holder, lost), TOUCH_EVERY_MS);
  try {
    return await work(AbortSignal.any(options.signal ? [options.signal, lost.signal] : [lost.signal]));
  } finally {
    clearInterval(touching);
    if ((await read(path))?.id === holder.id) await rm(path, { force: true });
  }
}

async function take(path: string, holder: Holder): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(holder), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function touch(path: string, holder: Holder, lost: AbortController): Promise<void> {
  const now = new Date();
  if ((await read(path))?.id !== holder.id) lost.abort(takenOver());
  else await utimes(path, now, now).catch(() => lost.abort(takenOver()));
}

function takenOver(): Fault {
  return new Fault('CANCELLED', 'another process took over this pull');
}

async function removeIfStale(path: string): Promise<void> {
  const judged = await read(path);
  if (!(await isStale(path, judged))) return;
  // Renamed before it is removed: of several that judged the same lock, one gets it.
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const taken = await read(aside);
  if (taken?.id === judged?.id) await rm(aside, { force: true });
  else await rename(aside, path);
}

async function isStale(path: string, holder: Holder | undefined): Promise<boolean> {
  if (holder?.host === hostname() && !isRunning(holder.pid)) return true;
  const age = await stat(path)
    .then((found) => Date.now() - found.mtimeMs)
    .catch(() => 0);
  return age > STALE_AFTER_MS;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function read(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Holder;
  } catch {
    return undefined; // Gone, or not written to its end yet.
  }
}
