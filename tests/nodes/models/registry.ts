/** An npm registry on loopback: packuments and tarballs over HTTP with ranges, and the faults that real ones have. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';

interface Published {
  readonly tarball: Buffer;
  readonly integrity: string;
}

export interface Registry extends AsyncDisposable {
  readonly url: string;
  /** Of tarballs, in order: PACKAGE RANGE, where the range is empty when none was asked for. */
  readonly requests: readonly string[];
  /** @param content of the file, or where it is a link to */
  publish(name: string, file: string, content: Buffer | string): Promise<void>;
  /** Ends the connection of the next tarball request after this many bytes. */
  cutNextAfter(bytes: number): void;
  /** Keeps tarball requests open without an end after this many bytes, until it is called again with undefined. */
  holdAfter(bytes: number | undefined): void;
  /** Answers every request for bytes with the whole. */
  ignoreRanges(): void;
  /** Serves other bytes than were published. */
  corrupt(name: string): void;
  /** Resolves when a tarball request is held. */
  held(): Promise<void>;
}

export async function startRegistry(): Promise<Registry> {
  const packages = new Map<string, Published>();
  const requests: string[] = [];
  let cut: number | undefined;
  let hold: number | undefined;
  let ranges = true;
  let onHeld: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    onHeld = resolve;
  });

  const server = createServer((request, response) => {
    const [, name = '', rest = ''] = request.url?.split('/') ?? [];
    const found = packages.get(name);
    if (!found) response.writeHead(404).end('{}');
    else if (rest === '1.0.0') packument(name, found, response);
    else tarball(name, found, request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

  function packument(name: string, { integrity }: Published, response: ServerResponse): void {
    const body = { name, version: '1.0.0', dist: { tarball: `${url}${name}/-/${name}.tgz`, integrity } };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  function tarball(name: string, found: Published, request: IncomingMessage, response: ServerResponse): void {
    requests.push(`${name} ${request.headers.range ?? ''}`.trim());
    const size = found.tarball.length;
    const start = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
    if (start >= size) {
      response.writeHead(416).end();
      return;
    }
    const body = found.tarball.subarray(start);
    const range = start > 0 ? { 'content-range': `bytes ${start}-${size - 1}/${size}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': body.length, ...range });
    if (cut !== undefined) {
      response.write(body.subarray(0, cut), () => response.destroy());
      cut = undefined;
    } else if (hold !== undefined) {
      response.write(body.subarray(0, hold), onHeld);
    } else {
      response.end(body);
    }
  }

  return {
    url,
    requests,
    async publish(name, file, content) {
      const archive = await pack(file, content);
      const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;
      packages.set(name, { tarball: archive, integrity });
    },
    cutNextAfter(bytes) {
      cut = bytes;
    },
    holdAfter(bytes) {
      hold = bytes;
    },
    ignoreRanges() {
      ranges = false;
    },
    corrupt(name) {
      const { tarball: whole, integrity } = packages.get(name)!;
      const changed = Buffer.from(whole);
      changed[100]! ^= 1;
      packages.set(name, { tarball: changed, integrity });
    },
    held: () => held,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function pack(file: string, content: Buffer | string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'infermesh-pack-'));
  try {
    await mkdir(join(folder, 'package'));
    await writeFile(join(folder, 'package', 'package.json'), '{}');
    const path = join(folder, 'package', file);
    await (typeof content === 'string' ? symlink(content, path) : writeFile(path, content));
    await create({ gzip: true, cwd: folder, file: join(folder, 'archive.tgz') }, ['package']);
    return await readFile(join(folder, 'archive.tgz'));
  } finally {
    await rm(folder, { recursive: true });
  }
}
