/** Where a command's settings come from: flag > INFERMESH_* > the file of --config > default. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import envPaths from 'env-paths';
import { parseDocument } from 'yaml';
import type { SettingSources } from '../proto/contract/settings.ts';
import { givenFlags } from './flags.ts';
import { UsageError } from './usage.ts';

/** What a configuration file may hold: one section for each kind of process, with settings by camelCase name. */
export const SECTIONS = ['router', 'node', 'up', 'client', 'chat'] as const;
export type Section = (typeof SECTIONS)[number];

type Values = Record<string, unknown>;

/**
 * @param sections those that this command reads, the later ones over the earlier
 * @param defaults for settings whose default depends on the machine
 * @throws UsageError when the file can't be read or has other sections
 */
export function sourcesOf(command: Command, sections: readonly Section[], defaults: Values = {}): SettingSources {
  const file = readConfig(command.opts().config ?? process.env.INFERMESH_CONFIG);
  const values = sections.map((section) => file[section] ?? {});
  return { flags: givenFlags(command), env: process.env, file: Object.assign({}, defaults, ...values) };
}

/** Where a router writes its join token and a node of the same user finds it. */
export function defaultTokenFile(): string {
  return join(envPaths('infermesh', { suffix: '' }).config, 'join-token');
}

function readConfig(path: string | undefined): Partial<Record<Section, Values>> {
  if (!path) return {};
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read the configuration file ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
  const document = parseDocument(text, { prettyErrors: false });
  const [problem] = document.errors;
  if (problem) throw new UsageError(`${path} is not YAML: ${problem.message}`);
  const content: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  const violations = problemsOf(content);
  if (violations.length > 0) throw new UsageError(`${path} is not a configuration of infermesh`, violations);
  return content as Partial<Record<Section, Values>>;
}

function problemsOf(content: unknown) {
  if (!isMap(content)) return [{ field: 'the file', description: `must hold the sections ${SECTIONS.join(', ')}` }];
  return Object.entries(content).flatMap(([name, section]) => {
    if (!(SECTIONS as readonly string[]).includes(name)) {
      return [{ field: name, description: `is not a section; there are ${SECTIONS.join(', ')}` }];
    }
    return section === null || isMap(section) ? [] : [{ field: name, description: 'must hold settings as name: value' }];
  });
}

function isMap(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
