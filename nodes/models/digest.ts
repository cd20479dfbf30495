/**
 * The sha256 of weights, computed once: beside the model lies a marker with the digest and with the size, time and
 * inode of the file it was computed from, and while these hold the digest does.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

const markerSchema = z.object({
  path: z.string(),
  sizeBytes: z.number(),
  mtimeMs: z.number(),
  inode: z.number(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
type Marker = z.infer<typeof markerSchema>;

export interface DigestOptions {
  readonly signal?: AbortSignal | undefined;
  /** @param readBytes how much of the file has been read */
  readonly onProgress?: ((readBytes: number) => void) | undefined;
}

/** @returns 64 hexadecimal digits */
export async function sha256Of(path: string, options: DigestOptions = {}): Promise<string> {
  const hash = createHash('sha256');
  const stream = createReadStream(path, { highWaterMark: 1 << 20, signal: options.signal });
  let read = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    read += chunk.length;
    options.onProgress?.(read);
  }
  return hash.digest('hex');
}

/** The digest from the marker where it still holds, else computed and marked. */
export async function knownDigest(path: string, markerPath: string, options: DigestOptions = {}): Promise<string> {
  const marker = await readMarker(markerPath);
  const now = await stat(path);
  if (marker?.path === path && marker.sizeBytes === now.size && marker.mtimeMs === now.mtimeMs && marker.inode === now.ino) {
    return marker.sha256;
  }
  const sha256 = await sha256Of(path, options);
  await writeMarker(path, markerPath, sha256);
  return sha256;
}

/** A folder that can't be written only means that the next start computes again. */
export async function writeMarker(path: string, markerPath: string, sha256: string): Promise<void> {
  const { size, mtimeMs, ino } = await stat(path);
  const marker: Marker = { path, sizeBytes: size, mtimeMs, inode: ino, sha256 };
  const temporary = `${markerPath}.${process.pid}`;
  try {
    await mkdir(dirname(markerPath), { recursive: true });
    await writeFile(temporary, `${JSON.stringify(marker)}\n`);
    await rename(temporary, markerPath);
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

async function readMarker(markerPath: string): Promise<Marker | undefined> {
  try {
    return markerSchema.parse(JSON.parse(await readFile(markerPath, 'utf8')));
  } catch {
    return undefined; // Missing, or written by something else: the digest is computed anew.
  }
}
