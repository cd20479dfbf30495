/** Catalogues of an operator's own, for tests. */
import { writeFileSync } from 'node:fs';

/** Writes a catalogue of one model to `file`, with what a test does not care about filled in. @returns `file` */
export function writeCatalogue(
  file: string,
  entry: { readonly name: string; readonly source: unknown; readonly [key: string]: unknown },
): string {
  const usual = {
    title: entry.name,
    family: 'test',
    parameters: 1,
    quantization: 'Q8_0',
    licence: 'MIT',
    commercial_use: true,
    context_length: 256,
    tier: 'fast',
    tasks: [],
    memory_bytes: 1,
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ models: [{ ...usual, ...entry }] }));
  return file;
}
