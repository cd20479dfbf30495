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

export async function engineReport(): Promise<EngineReport[]> {
  return [await llamaCpp()];
}

/** Looks for the package without loading it: its native code need not run to be found. */
async function llamaCpp(): Promise<EngineReport> {
  const engine = 'llama-cpp';
  try {
    const entry = createRequire(import.meta.url).resolve('node-llama-cpp');
    const manifest = JSON.parse(await readFile(new URL('../package.json', `file://${entry}`), 'utf8')) as { version: string };
    return { engine, version: manifest.version, available: true, detail: 'llama.cpp in a child process, GGUF models' };
  } catch {
    return { engine, version: '', available: false, detail: 'install with optional dependencies: npm ci' };
  }
}
