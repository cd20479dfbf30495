/**
 * Settings of a process, from four places: flag > environment > file > default. All problems are reported together,
 * each with the name under which the operator knows the setting. Pure: the caller reads argv, environment and files.
 */
import { z } from 'zod';
import type { Violation } from './faults.ts';
import { invalid } from './faults.ts';

export interface SettingSources {
  /** By camelCase key; undefined means not given. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Parsed from YAML, by camelCase key. */
  readonly file?: Readonly<Record<string, unknown>>;
}

/** tokenFile -> INFERMESH_TOKEN_FILE */
export function envName(key: string): string {
  return `INFERMESH_${snake(key).toUpperCase()}`;
}

/** tokenFile -> --token-file */
export function flagName(key: string): string {
  return `--${snake(key).replaceAll('_', '-')}`;
}

const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * @returns frozen settings with the schema's defaults filled in
 * @throws Fault INVALID_REQUEST with a violation for each setting that is wrong, and for each unknown key of the file
 */
export function resolveSettings<T extends z.ZodObject>(
  schema: T,
  { flags = {}, env = {}, file = {} }: SettingSources,
): Readonly<z.infer<T>> {
  const raw: Record<string, unknown> = {};
  const origin = new Map<string, string>();
  for (const key of Object.keys(schema.shape)) {
    const places: [name: string, value: unknown][] = [
      [flagName(key), flags[key]],
      [envName(key), env[envName(key)] || undefined],
      [`${key} in the configuration file`, file[key]],
    ];
    const found = places.find(([, value]) => value !== undefined);
    if (!found) continue;
    raw[key] = found[1];
    origin.set(key, found[0]);
  }
  const unknown = Object.keys(file).filter((key) => !(key in schema.shape));
  const parsed = schema.safeParse(raw);
  const violations: Violation[] = unknown.map((key) => ({
    field: key,
    description: 'is not a setting; remove it from the file',
  }));
  for (const issue of parsed.error?.issues ?? []) {
    const key = String(issue.path[0] ?? '');
    violations.push({
      field: origin.get(key) ?? flagName(key),
      description: `${issue.message}, received ${shownValue(raw[key])}`,
    });
  }
  if (!parsed.success || violations.length > 0) throw invalid(violations);
  return Object.freeze(parsed.data);
}

/** A value as an error names it: without what stands before the host of a URL, which may be a password. */
export function shownValue(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).replace(/\/\/[^"]*@/g, '//...@');
}

// Kinds of setting that flags and the environment give as text

export const integer = (low: number, high: number) =>
  z.coerce
    .number({ error: `must be a whole number from ${low} to ${high}` })
    .int(`must be a whole number from ${low} to ${high}`)
    .min(low, `must be a whole number from ${low} to ${high}`)
    .max(high, `must be a whole number from ${low} to ${high}`);

export const real = (low: number, high: number) =>
  z.coerce
    .number({ error: `must be a number from ${low} to ${high}` })
    .min(low, `must be a number from ${low} to ${high}`)
    .max(high, `must be a number from ${low} to ${high}`);

const TRUE = new Set([true, 'true', '1', 'yes', 'on']);
const FALSE = new Set([false, 'false', '0', 'no', 'off']);

export const toggle = () =>
  z.unknown().transform((value, context) => {
    if (TRUE.has(value as never)) return true;
    if (FALSE.has(value as never)) return false;
    context.addIssue('must be true or false');
    return z.NEVER;
  });

/** One value, several, or a text with commas. */
export const list = <T extends z.ZodType>(item: T) =>
  z.preprocess((value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value), z.array(item));

const AMOUNT = /^(\d{1,15}(?:\.\d{1,3})?) ?(%|[kMGT]?B|[KMGT]iB)$/;
const UNITS = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** Memory as a share of all there is, or in bytes; `bytesIn` reads it. */
export const memoryAmount = () =>
  z.string().refine((text) => {
    const [, number, unit] = AMOUNT.exec(text) ?? [];
    return number !== undefined && Number(number) > 0 && (unit !== '%' || Number(number) <= 100);
  }, 'must be a share such as 80%, or a size such as 6GB or 512MiB');

/** @param amount one that `memoryAmount` has let through; @param whole bytes that 100 % are */
export function bytesIn(amount: string, whole: number): number {
  const [, number, unit] = AMOUNT.exec(amount) ?? [];
  const times = unit === '%' ? whole / 100 : UNITS[unit as keyof typeof UNITS];
  return Math.round(Number(number) * times);
}

/** A share of a whole, as text: 85%. */
export const percent = (low: number, high: number) =>
  z.string().refine((text) => {
    const [, number] = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(text) ?? [];
    return number !== undefined && Number(number) >= low && Number(number) <= high;
  }, `must be a share from ${low}% to ${high}%`);

/** HOST:PORT, with brackets around an IPv6 host. */
export const address = () =>
  z.string().refine((text) => {
    const match = /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
    return match !== null && Number(match[1]) <= 65_535;
  }, 'must be HOST:PORT');

const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|localhost|\[::1\]):/;

export function isLoopback(hostAndPort: string): boolean {
  return LOOPBACK.test(hostAndPort);
}

export const logLevel = () =>
  z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], { error: 'must be trace, debug, info, warn, error or silent' });
