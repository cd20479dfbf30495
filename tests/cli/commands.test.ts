import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { buildProgram, COMMANDS } from '../../cli/program.ts';
import { VERSION } from '../../proto/contract/version.ts';
import { events, infermesh } from './run.ts';

const program = await buildProgram(Object.keys(COMMANDS));
const commands = program.commands.flatMap((command) => [command, ...command.commands]);

test.each(Object.keys(COMMANDS))('the help of %s shows examples, --json and --config', async (name) => {
  const { code, stdout, stderr } = await infermesh([name, '--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain(`Examples:\n  infermesh ${name}`);
  if (['models', 'token', 'cache'].includes(name)) return; // Their subcommands have them.
  expect(stdout).toMatch(/--json .*print one JSON object/);
  expect(stdout).toContain('--config <FILE>');
});

test('the documentation lists every command and option', () => {
  const text = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const missing = (words: readonly string[]) => words.filter((word) => !text.includes(word));
  expect(missing(commands.map((command) => `infermesh ${pathOf(command)}`))).toEqual([]);
  expect(missing(commands.flatMap(({ options }) => options.map(({ long }) => `\`${long}`)))).toEqual([]);
});

function pathOf(command: Command): string {
  return command.parent === program ? command.name() : `${command.parent?.name()} ${command.name()}`;
}

test('no help tells a default that the schema does not have', async () => {
  const { stdout } = await infermesh(['router', '--help']);
  expect(stdout).toMatch(/--listen <HOST:PORT> .*\(default:\s+127\.0\.0\.1:50051\)\s+\[env: INFERMESH_LISTEN\]/s);
});

test('without a command the commands are listed; --version is the version', async () => {
  expect((await infermesh([])).stdout).toMatch(/Commands:\n {2}up /);
  expect(await infermesh(['--version'])).toMatchObject({ code: 0, stdout: `${VERSION}\n` });
});

test.each([
  [['fly'], 'unknown command'],
  [['ps', '--fast'], "unknown option '--fast'"],
  [['models', 'pull'], "missing required argument 'NAME'"],
  [['chat', '--model', 'a', '--tier', 'fast', 'hello'], 'exclude each other'],
  [['chat', '--json-schema', '/nowhere.json', 'hello'], 'cannot read --json-schema'],
])('a mistake in the call such as %j ends with 2 and one line', async (args, message) => {
  const { code, stdout, stderr } = await infermesh(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^infermesh: .*\n$/);
  expect(stderr).toContain(message);
  const json = await infermesh([...args, '--json']);
  expect(json.code).toBe(2);
  expect(JSON.parse(json.stdout).error.message).toContain(message);
});

test('models lists the catalogue, and what of it is here', async () => {
  const env = { INFERMESH_MODELS: '/nonexistent/models' };
  const { code, stdout } = await infermesh(['models', '--json'], { env });
  expect(code).toBe(0);
  const [{ models, folder }] = events(stdout) as [{ folder: string; models: Record<string, unknown>[] }];
  expect(folder).toBe('/nonexistent/models');
  const byName = new Map(models.map((model) => [model.name, model]));
  expect(byName.get('stories-15m')).toMatchObject({ state: 'present', licence: 'MIT', tier: 'fast', tasks: ['story'] });
  expect(byName.get('tinyllama-1.1b-chat')).toMatchObject({ state: 'absent', bytes: 0 });
  expect((await infermesh(['models', 'list'], { env })).stdout).toMatch(/● +stories-15m +fast +17 MB .*MIT +yes/);
});

test('models verify hashes weights, info tells about a model, and an unknown name gets the names there are', async () => {
  const verified = await infermesh(['models', 'verify', 'stories-15m']);
  expect(verified).toMatchObject({ code: 0, stdout: expect.stringMatching(/is whole: sha256:6b64a54f/) });
  const info = await infermesh(['models', 'info', 'tinyllama-1.1b-chat', '--json']);
  expect(JSON.parse(info.stdout)).toMatchObject({ licence: 'Apache-2.0', source: expect.stringContaining('npm:') });
  const unknown = await infermesh(['models', 'pull', 'no-such-model']);
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('stories-15m') });
});

test('doctor tells what is here and what to do about what is missing', async () => {
  const { code, stdout } = await infermesh(['doctor', '--json', '--router', '127.0.0.1:1'], {
    env: { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=secret', OTEL_SDK_DISABLED: 'true' },
  });
  expect(code).toBe(0);
  const { healthy, findings } = JSON.parse(stdout) as { healthy: boolean; findings: Record<string, unknown>[] };
  expect(healthy).toBe(true);
  const byName = new Map(findings.map((finding) => [finding.name, finding]));
  expect([...byName.keys()]).toEqual(
    expect.arrayContaining([
      'cpu',
      'memory',
      'gpu',
      'node',
      'llama-cpp',
      'ollama',
      'vllm',
      'models',
      'folder',
      'router',
      'npm',
      'redis',
      'tracing',
    ]),
  );
  expect(byName.get('node')).toMatchObject({ status: 'ok', detail: expect.stringContaining(process.version) });
  expect(byName.get('llama-cpp')).toMatchObject({ status: 'ok', essential: false });
  expect(byName.get('tracing')).toMatchObject({ status: 'ok', detail: expect.stringContaining('OTEL_EXPORTER_OTLP_HEADERS') });
  expect(stdout).not.toContain('secret');
  for (const { status, advice } of findings) if (status !== 'ok') expect(advice).not.toBe('');
}, 30_000);
