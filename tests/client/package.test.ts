/** The package as another project installs it: plain JavaScript, for the Node that runs there. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const run = promisify(execFile);

const SERVICE = `
import { connect, Fault } from 'infermesh';
const mesh = connect(process.env.INFERMESH_ROUTER);
`;

let mesh: TestMesh;
let project: string;

beforeAll(async () => {
  mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: 'length=5' }] });
  project = mkdtempSync(join(tmpdir(), 'infermesh-package-'));
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: ROOT });
  const installed = join(project, 'node_modules/infermesh');
  mkdirSync(installed, { recursive: true });
  await run('tar', ['xzf', join(project, stdout.trim().split('\n').at(-1)!), '--strip-components=1', '-C', installed]);
  // Its dependencies are the ones that are here already.
  symlinkSync(join(ROOT, 'node_modules'), join(installed, 'node_modules'));
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
});

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]();
  rmSync(project, { recursive: true, force: true });
});

const nodeOf = async (path: string) => (await run('which', ['-a', 'node'], { env: { PATH: path } })).stdout.trim().split('\n');

test('a service in plain JavaScript streams an answer with it, also on an older Node', async () => {
  writeFileSync(
    join(project, 'service.js'),
    `${SERVICE}
const { text, finished } = await mesh.ask({ messages: 'hello' });
let reason;
try { await mesh.ask({ messages: 'hello', sampling: { temperature: 7 } }); } catch (error) { reason = error instanceof Fault && error.reason; }
mesh.close();
console.log(JSON.stringify({ text, tokens: finished.usage.outputTokens, reason, version: process.version }));`,
  );
  const nodes = await nodeOf(process.env.PATH ?? '');
  for (const node of new Set([process.execPath, nodes.at(-1)!])) {
    const { stdout } = await run(node, ['service.js'], { cwd: project, env: { ...process.env, INFERMESH_ROUTER: mesh.address } });
    expect(JSON.parse(stdout)).toMatchObject({ tokens: 5, reason: 'INVALID_REQUEST' });
  }
});

test('its types are found by the compiler', async () => {
  writeFileSync(
    join(project, 'typed.ts'),
    `import { connect, type ChatEvent } from 'infermesh';\nexport const kinds = async (): Promise<ChatEvent['type'][]> => {\n  const kinds: ChatEvent['type'][] = [];\n  for await (const event of connect('x:1').chat({ messages: 'hello' })) kinds.push(event.type);\n  return kinds;\n};\n`,
  );
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const flags = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--skipLibCheck',
    '--types',
    'node',
    '--typeRoots',
  ];
  await run(tsc, [...flags, join(ROOT, 'node_modules/@types'), 'typed.ts'], { cwd: project });
});
