/** Command-line options made of a settings schema, so that neither can have what the other lacks. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { z } from 'zod';
import { envName, flagName } from '../proto/contract/settings.ts';

/** For each setting: what stands for its value in the help (empty for a switch), and what it does. */
export type FlagHelp<T extends z.ZodObject> = Readonly<Record<keyof z.infer<T> & string, readonly [value: string, help: string]>>;

/**
 * Adds an option for every setting. Options have no default of their own: what was not given must stay open to the
 * environment and the file.
 */
export function addFlags<T extends z.ZodObject>(command: Command, schema: T, help: FlagHelp<T>): Command {
  for (const [key, [value, text]] of Object.entries<readonly [string, string]>(help)) {
    const fallback = defaultOf(schema, key);
    // A switch that is on by default is turned off by its --no- form.
    const name = fallback === true ? flagName(key).replace('--', '--no-') : flagName(key);
    const option = new Option(value ? `${name} <${value}>` : name, `${text}${shownDefault(fallback)} [env: ${envName(key)}]`);
    if (Array.isArray(fallback)) option.argParser(collect);
    command.addOption(option);
  }
  return command;
}

/** commander gives a --no-x option the default true, which would hide the environment and the file. */
export function givenFlags(command: Command): Record<string, unknown> {
  return Object.fromEntries(Object.entries(command.opts()).filter(([key]) => command.getOptionValueSource(key) === 'cli'));
}

export function defaultOf(schema: z.ZodObject, key: string): unknown {
  return schema.shape[key]?.safeParse(undefined).data;
}

function shownDefault(value: unknown): string {
  if (value === undefined || value === '' || typeof value === 'boolean') return '';
  if (Array.isArray(value)) return value.length > 0 ? ` (default: ${value.join(',')})` : '';
  return ` (default: ${String(value)})`;
}

/** Repeated options and commas add up alike. */
function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), ...value.split(',').map((part) => part.trim())];
}
