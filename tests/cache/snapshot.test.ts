import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MeshCache } from '../../cache/cache.ts';
import { MemoryStore } from '../../cache/memory-store.ts';
import { PurgeCacheRequest } from '../../proto/gen/infermesh/v1/admin.ts';
import { CachedAnswer } from '../../proto/gen/infermesh/v1/cache.ts';
import type { CacheEvent } from '../../telemetry/cache-events.ts';
import { FakeClock } from './fakes.ts';

const SECRET = 'a secret of the mesh, for tests only';
const MINUTE_MS = 60_000;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-snapshot-'));
  path = join(folder, 'snapshot');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function start({ secret = SECRET, clock = new FakeClock(), snapshot = path, memoryBytes = 64 << 20 } = {}) {
  const events: CacheEvent[] = [];
  const store = new MemoryStore(1 << 20, clock);
  const cache = new MeshCache({ secret, memoryBytes, store, snapshot, clock, tell: (event) => events.push(event) });
  const key = (content: string) => cache.keys.of('acme').key('answers', Buffer.from(content));
  return {
    cache,
    clock,
    events,
    put: (content: string, text = content) =>
      cache.answers.put(key(content), CachedAnswer.fromPartial({ requestId: content, deltas: Buffer.from(text) })),
    get: (content: string) => cache.answers.peek(key(content))?.value.requestId,
    delete: (content: string) => cache.answers.delete(key(content)),
    close: () => cache[Symbol.asyncDispose](),
  };
}

describe('a snapshot', () => {
  it('has what the router before it had, for what was left of its time', async () => {
    const before = start();
    before.put('a');
    before.clock.advance(10 * MINUTE_MS);
    await before.close();
    const after = start({ clock: before.clock });
    expect(after.get('a')).toBe('a');
    after.clock.advance(5 * MINUTE_MS + 1);
    expect(after.get('a')).toBeUndefined();
    expect(after.events).toEqual([]);
  });

  it('has every layer, and entries that nobody has asked for again', async () => {
    const before = start();
    const evidence = before.cache.keys.of(undefined).key('evidence', Buffer.from('e'));
    before.cache.evidence.put(evidence, { evidence: { chunks: [] }, putAtMs: 5 });
    await before.close();
    const between = start();
    between.put('a');
    await between.close();
    const after = start();
    expect(after.cache.evidence.peek(evidence)?.value.putAtMs).toBe(5);
    expect(after.get('a')).toBe('a');
  });

  it('is for the eyes of its owner only, and tells nothing of what is in it', async () => {
    const before = start();
    before.put('a canary in the key', 'a canary in the value');
    await before.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path).includes('canary')).toBe(false);
    expect(readdirSync(folder)).toEqual(['snapshot']);
  });

  it('keeps the most used entries where not all have room', async () => {
    const before = start();
    const text = 'x'.repeat(16);
    for (let index = 0; index < 12_000; index++) before.put(`${index}`, text);
    for (let index = 0; index < 100; index++) before.get(`${index * 7}`);
    await before.close();
    const after = start();
    expect(after.cache.answers.held.count).toBe(10_000);
    for (let index = 0; index < 100; index++) expect(after.get(`${index * 7}`)).toBe(`${index * 7}`);
  });

  it('is written each minute in which something changed, and only then', async () => {
    const router = start();
    // Each time it is written it is another file.
    const file = () => statSync(path, { throwIfNoEntry: false })?.ino;
    router.put('a');
    router.clock.advance(MINUTE_MS);
    const first = await vi.waitUntil(file);
    router.get('a');
    router.clock.advance(MINUTE_MS);
    await router.close();
    expect(file()).toBe(first);
    const next = start();
    next.put('b');
    next.clock.advance(MINUTE_MS);
    await vi.waitUntil(() => file() !== first);
    expect([start().get('a'), start().get('b')]).toEqual(['a', 'b']);
  });

  it('has nothing of what was purged or deleted', async () => {
    const router = start();
    router.put('a');
    router.put('b');
    await router.close();
    const next = start();
    await next.delete('a');
    await next.close();
    expect(start().get('a')).toBeUndefined();
    expect(start().get('b')).toBe('b');
    const last = start();
    await last.cache.purge(PurgeCacheRequest.create());
    expect(start().get('b')).toBeUndefined();
  });

  it('that cannot be written anew after a purge is gone, rather than with what was purged', async () => {
    const before = start();
    before.put('a');
    await before.close();
    // There is no room in the name for a draft.
    const long = join(folder, 's'.repeat(250));
    renameSync(path, long);
    const purging = start({ snapshot: long });
    expect(purging.get('a')).toBe('a');
    await purging.cache.purge(PurgeCacheRequest.create());
    expect(existsSync(long)).toBe(false);
    expect(purging.events).toEqual([{ type: 'cache_snapshot_failed', code: 'ENAMETOOLONG' }]);
    await purging.close();
  });

  it('is let go of once its entries are: each is a copy of its part', async () => {
    const before = start();
    before.put('a');
    before.put('b', randomBytes(1 << 20).toString('base64'));
    await before.close();
    const after = start();
    const sizes = after.cache.answers.recent(2).map(({ seal }) => (seal() as Buffer).buffer.byteLength);
    expect(Math.min(...sizes)).toBeLessThanOrEqual(Buffer.poolSize);
    await after.close();
  });

  it('opens for no other secret', async () => {
    const before = start();
    before.put('a');
    await before.close();
    const stranger = start({ secret: 'another secret of another mesh' });
    expect(stranger.get('a')).toBeUndefined();
  });

  it('is of no use under another name: what was moved there is rejected', async () => {
    const before = start();
    before.put('a');
    before.put('b', 'other');
    await before.close();
    const after = start();
    const keys = after.cache.keys.of('acme');
    const [a, b] = ['a', 'b'].map((content) => keys.key('answers', Buffer.from(content)));
    const sealed = b?.seal(Buffer.from('whatever')) as Buffer;
    after.cache.answers.restore(a?.name as string, sealed, after.clock.wall() + MINUTE_MS, 1);
    expect(after.get('a')).toBeUndefined();
    expect(after.cache.answers.counts.rejected).toBe(1);
  });

  it('that was damaged is told once, and ignored', async () => {
    const before = start();
    before.put('a');
    before.put('b');
    await before.close();
    const whole = readFileSync(path);
    const damaged = [
      Buffer.alloc(0),
      Buffer.from('something else'),
      whole.subarray(0, whole.length - 1),
      whole.subarray(0, 40),
      Buffer.concat([whole, Buffer.of(0)]),
      Buffer.from(whole.map((byte, index) => (index === 60 ? byte ^ 1 : byte))),
    ];
    for (const content of damaged) {
      writeFileSync(path, content);
      const after = start();
      expect(after.events).toEqual([{ type: 'cache_snapshot_ignored', code: 'DAMAGED' }]);
      expect(after.get('a')).toBeUndefined();
      after.put('c');
      await after.close();
      expect(start().get('c')).toBe('c');
    }
  });

  it('that is no file is told once, and the router goes on', async () => {
    const router = start({ snapshot: folder });
    expect(router.events).toEqual([{ type: 'cache_snapshot_ignored', code: 'DAMAGED' }]);
    router.put('a');
    await router.close();
    expect(router.events.slice(1)).toMatchObject([{ type: 'cache_snapshot_failed' }]);
  });

  it.skipIf(process.getuid?.() === 0)('that may not be read is told with the reason (skipped for root, who may)', () => {
    writeFileSync(path, '');
    chmodSync(path, 0);
    expect(start().events).toEqual([{ type: 'cache_snapshot_ignored', code: 'EACCES' }]);
  });

  it('that cannot be written is told once, and again only after it could', async () => {
    const router = start({ snapshot: join(folder, 'missing', 'snapshot') });
    const purge = () => router.cache.purge(PurgeCacheRequest.create());
    await purge();
    await purge();
    expect(router.events).toEqual([{ type: 'cache_snapshot_failed', code: 'ENOENT' }]);
    await router.close();
  });
});
