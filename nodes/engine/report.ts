/** What engines this machine could serve with. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

export interface EngineReport {
  readonly engine: string;
  /** Empty where there is none. */
  readonly version: string;
  readonly available: boolean;
  /** What it is, or what to do to have it. */
  readonly detail: string;
}

export function engineReport(): Promise<EngineReport[]> {
  return Promise.all([
    reportOf('llama-cpp', ['node-llama-cpp'], 'llama.cpp in a child process, GGUF models'),
    reportOf(
      'onnx',
      ['onnxruntime-node', '@huggingface/tokenizers'],
      'ONNX Runtime in a child process, ONNX models that make vectors or tell classes',
    ),
  ]);
}

/**
 * Looks for the packages without loading them: native code need not run to be found.
 * @param packages the engine's own first
 */
async function reportOf(engine: string, packages: readonly string[], detail: string): Promise<EngineReport> {
  try {
    const [version = ''] = await Promise.all(packages.map(versionOf));
    return { engine, version, available: true, detail };
  } catch {
    return { engine, version: '', available: false, detail: 'install with optional dependencies: npm ci' };
  }
}

async function versionOf(name: string): Promise<string> {
  const entry = createRequire(import.meta.url).resolve(name);
  const manifest = JSON.parse(await readFile(new URL('../package.json', `file://${entry}`), 'utf8')) as { version: string };
  return manifest.version;
}
