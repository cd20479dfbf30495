/** The kernel's files of counters: a line for each, with its name before it. */
import { readFileSync } from 'node:fs';

/** Empty where it can't be read. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** "KEY 12", or "KEY:   12 kB"; 0 where there is none. */
export function counterOf(text: string, key: string): number {
  return Number(new RegExp(`^${key}:?\\s+(\\d+)(?: kB)?$`, 'm').exec(text)?.[1] ?? 0);
}
