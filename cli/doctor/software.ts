/** Node.js, the engines, npm's registry and tracing. */
import { execFile } from 'node:child_process';
import { delimiter } from 'node:path';
import { promisify } from 'node:util';
import type { EngineReport } from '../../nodes/index.ts';
import type { Finding } from './finding.ts';
import { missing, ok } from './finding.ts';
import { httpGet } from './probe.ts';

const run = promisify(execFile);

export async function nodeFinding(): Promise<Finding> {
  const system = await output('node', ['--version']);
  return ok('node', `${process.version} in use; ${system ? `the system has ${system}` : 'the system has none of its own'}`);
}

export function engineFindings(engines: readonly EngineReport[]): Finding[] {
  return engines.map(({ engine, version, available, detail }) =>
    available
      ? ok(engine, `${version}, ${detail}`)
      : missing(engine, 'not installed', { advice: detail, essential: engine === 'llama-cpp' }),
  );
}

export async function ollamaFinding(): Promise<Finding> {
  const given = process.env.OLLAMA_HOST ?? '127.0.0.1:11434';
  const url = /^https?:/.test(given) ? given : `http://${given}`;
  const version = versionIn(await httpGet(`${url}/api/version`));
  if (version) return ok('ollama', `${version} at ${url}`);
  return missing('ollama', `nothing answers at ${url}`, {
    advice: 'not needed; with one: infermesh node --engine ollama (OLLAMA_HOST names another address)',
  });
}

export async function vllmFinding(): Promise<Finding> {
  const url = 'http://127.0.0.1:8000';
  const version = versionIn(await httpGet(`${url}/version`));
  if (version) return ok('vllm', `${version} at ${url}`);
  return missing('vllm', `nothing answers at ${url}`, { advice: 'not needed; for GPU hosts' });
}

/** Asks npm itself, which knows the machine's registry, proxy and certificates. */
export async function registryFinding(): Promise<Finding> {
  const version = await output('npm', ['--version']);
  if (!version) return missing('npm', 'not found', { advice: 'install npm: tinyllama-1.1b-chat is fetched from its registry' });
  const reached = await output('npm', ['ping', '--fetch-retries=0', '--fetch-timeout=4000']);
  if (reached !== undefined) return ok('npm', `${version}, its registry answers`);
  return missing('npm', `${version}, its registry does not answer`, {
    advice: 'models that lie here serve all the same; to fetch others check "npm config get registry" and the proxy',
  });
}

export function tracingFinding(env: NodeJS.ProcessEnv = process.env): Finding {
  // Names only: a value may hold a credential.
  const names = Object.keys(env).filter((name) => name.startsWith('OTEL_') && env[name]);
  if (names.length > 0) return ok('tracing', `by ${names.toSorted().join(', ')}`);
  return missing('tracing', 'off: no OTEL_* variable is set', {
    advice: 'for traces set OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317',
  });
}

/** @returns undefined where the program is missing or fails */
async function output(program: string, args: readonly string[]): Promise<string | undefined> {
  // As in the user's shell: npm puts the project's own programs first.
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
  try {
    const { stdout } = await run(program, args, { timeout: 8000, env: { ...process.env, PATH: path.join(delimiter) } });
    return stdout.trim();
  } catch {
    return undefined;
  }
}

function versionIn(body: string | undefined): string | undefined {
  try {
    const { version } = JSON.parse(body ?? '') as { version?: unknown };
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined;
  }
}
