/** The launcher under a Node that is too old for main.ts: the system's, where there is one. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';
import { descendants, infermesh, isAlive, LAUNCHER, Running } from './run.ts';

const oldNode = findOldNode();

function findOldNode(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
  return folders
    .map((folder) => join(folder, 'node'))
    .find((path) => {
      try {
        const version = execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
        return Number(/^v(\d+)/.exec(version)?.[1]) < 24;
      } catch {
        return false;
      }
    });
}

const withOldNode = test.skipIf(oldNode === undefined); // Nothing to relaunch from on a machine without one.
const call = oldNode === undefined ? {} : { node: oldNode };

test('--assert-node is content with the Node that the project brings', async () => {
  expect(await infermesh(['--assert-node'])).toMatchObject({ code: 0, stdout: '', stderr: '' });
});

withOldNode('an older Node finds the one that the project brings', async () => {
  expect(await infermesh(['--assert-node'], call)).toMatchObject({ code: 0, stdout: '', stderr: '' });
});

withOldNode('without a Node that is new enough it says what to do', () => {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  try {
    const alone = join(folder, 'infermesh.mjs');
    copyFileSync(LAUNCHER, alone);
    expect(() => execFileSync(oldNode!, [alone, '--assert-node'], { stdio: ['ignore', 'ignore', 'pipe'] })).toThrow(
      /npm ci.* without --omit=optional/,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

withOldNode('the exit code, the output and stdin pass through', async () => {
  expect(await infermesh(['--version'], call)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  expect(await infermesh(['ps', '--nonsense'], call)).toMatchObject({ code: 2, signal: null });
  expect(await infermesh(['chat', '--router', '127.0.0.1:1'], { ...call, stdin: 'hello' })).toMatchObject({ code: 1 });
});

async function routerUnderLauncher(folder: string) {
  const router = new Running(['router', '--json', '--listen', '127.0.0.1:0', '--token-file', join(folder, 'token')], call);
  await router.event('listening');
  return router;
}

withOldNode.each(['SIGINT', 'SIGTERM'] as const)('%s to the launcher ends the command in order', async (signal) => {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  try {
    const router = await routerUnderLauncher(folder);
    router.process.kill(signal);
    expect(await router.ended).toMatchObject({ code: 0, signal: null, stdout: expect.stringContaining('stopped') });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

withOldNode('the command ends, too, when the launcher is killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  try {
    const router = await routerUnderLauncher(folder);
    const [child] = descendants(router.process.pid!);
    router.process.kill('SIGKILL');
    await expect.poll(() => isAlive(child!)).toBe(false);
    expect(router.stdout).toContain('stopped');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
