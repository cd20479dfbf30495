import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { nodeSettings, startNode } from '../../nodes/index.ts';
import { startTelemetry } from '../../telemetry/sdk.ts';

const shutdown = vi.hoisted(() => vi.fn(async () => {}));
vi.mock('../../telemetry/sdk.ts', () => ({ startTelemetry: vi.fn(async () => ({ enabled: true, shutdown })) }));

let folder: string;
let flags: Record<string, unknown>;
beforeEach(() => {
  vi.clearAllMocks();
  folder = mkdtempSync(join(tmpdir(), 'infermesh-start-'));
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'a-join-token-for-tests-only\n');
  flags = { tokenFile, join: '127.0.0.1:1', logLevel: 'silent' };
});
afterEach(() => rmSync(folder, { recursive: true }));

it.each([
  ['is not there', (path: string) => path, /^--tls-ca: cannot read .*ca\.pem \(ENOENT\)$/],
  ['is no certificate', (path: string) => writeFileSync(path, 'hello'), /^--tls-ca: .*ca\.pem holds no certificate/],
])('a --tls-ca that %s is told by name before anything is started', async (_how, make, message) => {
  const tlsCa = join(folder, 'ca.pem');
  make(tlsCa);
  await expect(startNode(nodeSettings({ flags: { ...flags, tlsCa, engine: 'replay' } }))).rejects.toMatchObject({
    reason: 'INVALID_REQUEST',
    message: expect.stringMatching(message),
  });
  expect(startTelemetry).not.toHaveBeenCalled();
});

it('a node whose model is not to be had shuts its telemetry down', async () => {
  const settings = nodeSettings({ flags: { ...flags, model: 'no-such-model' } });
  await expect(startNode(settings)).rejects.toMatchObject({ reason: 'MODEL_NOT_FOUND' });
  expect(startTelemetry).toHaveBeenCalledOnce();
  expect(shutdown).toHaveBeenCalledOnce();
});
