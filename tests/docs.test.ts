/**
 * Documentation that is true: every command in a ```sh block of README.md and docs/ is run as it stands, against a mesh
 * of the test's own, and every file it links to exists.
 */
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestMesh } from './support/mesh.ts';
import { startMesh } from './support/mesh.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const PAGES = ['README.md', ...globSync('docs/*.md', { cwd: ROOT }), ...globSync('*/README.md', { cwd: ROOT })];
const run = promisify(execFile);

/** What is not run here, and where it is instead. */
const ELSEWHERE: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/^npm ci/, 'what CI and its fresh clone do'],
  [
    /^(?:[A-Z_]+=\S+ )*npm (?:start|test|run)/,
    'tests/cli starts and ends `infermesh up`; the others are this run, or take minutes',
  ],
  [/\binfermesh (?:up|router|node)\b/, 'they run until they are told to end: tests/cli and tests/mesh'],
  [/\binfermesh models (?:pull|rm)\b/, 'fetches or removes hundreds of megabytes: tests/nodes/models, on a registry of its own'],
  [/\binfermesh models (?:load|unload|swap)\b/, 'wants the credential of an admin: tests/mesh/models.test.ts'],
  [/\binfermesh certs\b/, 'leaves private keys behind: tests/cli/certs.test.ts'],
  [/\binfermesh token\b/, 'wants the credential of an admin: tests/mesh/trust.test.ts'],
  [/--tls-c(?:a|ert)\b/, 'wants certificates: tests/mesh/tls.test.ts'],
  [/--watch\b/, 'runs until it is told to end: tests/cli'],
  [/^node client\/examples/, 'tests/client/bedtime.test.ts'],
  [/^docker\b/, 'needs a container engine'],
];

interface Command {
  readonly page: string;
  readonly line: string;
}

const commands: Command[] = PAGES.flatMap((page) =>
  [...readFileSync(join(ROOT, page), 'utf8').matchAll(/```sh\n([\s\S]*?)```/g)]
    .flatMap(([, block = '']) => block.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => ({ page, line: line.replace(/\s+#\s.*$/, '').trim() }))
    .filter(({ line }) => line !== '' && !line.startsWith('#')),
);
const runnable = commands.filter(({ line }) => !ELSEWHERE.some(([pattern]) => pattern.test(line)));

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await startMesh();
});

afterAll(() => mesh?.[Symbol.asyncDispose]());

test('the documentation has commands to run', () => {
  expect(runnable.length).toBeGreaterThan(8);
});

test.each(runnable)('$page: $line', async ({ line }) => {
  // The address that the documentation names is the default one; here it is the mesh's own.
  const script = line.replaceAll('127.0.0.1:50051', mesh.address);
  const env = { ...process.env, INFERMESH_ROUTER: mesh.address, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` };
  const { stdout } = await run('bash', ['-c', script], { cwd: ROOT, env, timeout: 25_000 });
  expect(stdout.length).toBeGreaterThan(0);
});

const links = PAGES.flatMap((page) =>
  [...readFileSync(join(ROOT, page), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => ({
    page,
    target,
  })),
);

test.each(links)('$page links to $target, which exists', ({ page, target }) => {
  expect(existsSync(join(ROOT, dirname(page), target))).toBe(true);
});
