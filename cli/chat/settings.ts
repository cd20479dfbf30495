/** What `infermesh chat` and `explain` can be told about a request. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import type { CacheInput, ChatInput, ChatMessage } from '../../client/index.ts';
import { list, real, resolveSettings, toggle } from '../../proto/contract/settings.ts';
import { CONNECTION_HELP, connectionSchema } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage, UsageError } from '../usage.ts';

/** Bounds are the router's to check; here a text only has to be a number. */
const number = () => z.coerce.number({ error: 'must be a number' });

const WEIGHTS = ['cost', 'quality', 'latency', 'diversity'] as const;
const PREFERENCE = new RegExp(`^(?:${WEIGHTS.join('|')})=\\d*\\.?\\d+$`);

export const chatSchema = connectionSchema.extend({
  model: z.string().optional(),
  tier: z.enum(['fast', 'balanced', 'quality', 'cloud'], { error: 'must be fast, balanced, quality or cloud' }).optional(),
  system: z.string().optional(),
  maxTokens: number().optional(),
  temperature: number().optional(),
  topP: number().optional(),
  seed: number().optional(),
  stop: list(z.string()).default([]),
  jsonSchema: z.string().optional(),
  deadline: real(0.001, 3600).optional(),
  session: z.string().optional(),
  priority: z.enum(['low', 'normal', 'high'], { error: 'must be low, normal or high' }).optional(),
  cacheMode: z.enum(['use', 'bypass', 'refresh', 'only'], { error: 'must be use, bypass, refresh or only' }).optional(),
  semantic: toggle().default(false),
  paced: toggle().default(false),
  prefer: list(z.string().regex(PREFERENCE, `must be NAME=WEIGHT with one of ${WEIGHTS.join(', ')} and a number`))
    .default([])
    .refine((all) => new Set(all.map(nameIn)).size === all.length, 'must have each name once'),
  maxCost: number().optional(),
  maxLatency: number().optional(),
  minQuality: number().optional(),
  zones: list(z.string()).default([]),
  explore: toggle().default(true),
});

export type ChatSettings = Readonly<z.infer<typeof chatSchema>>;

const HELP: FlagHelp<typeof chatSchema> = {
  ...CONNECTION_HELP,
  model: ['NAME', 'model to answer; without it the router chooses'],
  tier: ['NAME', 'instead of a model: fast, balanced, quality or cloud'],
  system: ['TEXT', 'system message'],
  maxTokens: ['N', 'longest answer; the router takes 512 when it is not given'],
  temperature: ['T', '0 (always the likeliest token) to 2'],
  topP: ['P', 'over 0, up to 1'],
  seed: ['N', 'the same seed, model and prompt give the same answer'],
  stop: ['TEXT', 'end the answer before this text; repeat it for several'],
  jsonSchema: ['FILE', 'JSON Schema that the answer must satisfy'],
  deadline: ['SECONDS', 'give up after that long; the router takes 120 when it is not given'],
  session: ['ID', 'requests of one session like to stay on one node'],
  priority: ['NAME', 'which of your requests wait shorter for a slot: low, normal or high'],
  cacheMode: [
    'MODE',
    'use: also an answer drawn by chance may be used again; bypass, refresh; only: from the cache or not at all',
  ],
  semantic: ['', 'the cached answer to another prompt that means the same will do'],
  paced: ['', 'a cached answer comes as fast as it was generated'],
  prefer: ['NAME=WEIGHT', 'what matters: cost, quality, latency, diversity, each 0 to 1; repeat it, or use commas'],
  maxCost: ['USD', 'rule out what is expected to cost more'],
  maxLatency: ['SECONDS', 'rule out what is expected to take longer'],
  minQuality: ['Q', 'rule out what is expected to be worse, 0 to 1'],
  zones: ['NAME', 'only nodes of these zones; repeat it, or use commas'],
  explore: ['', 'take what is believed best, and try nothing else'],
};

export function addChatFlags(command: Command): Command {
  return addFlags(command, chatSchema, HELP);
}

export function chatSettings(command: Command): ChatSettings {
  return asUsage(() => {
    const settings = resolveSettings(chatSchema, sourcesOf(command, ['client', 'chat']));
    if (settings.model !== undefined && settings.tier !== undefined) {
      throw new UsageError('--model and --tier exclude each other: a model has its tier');
    }
    return settings;
  });
}

export function chatInput(settings: ChatSettings, conversation: readonly ChatMessage[]): ChatInput {
  const { model, tier, system, maxTokens, temperature, topP, seed, stop, jsonSchema, session, priority, prefer, zones, explore } =
    settings;
  const before: ChatMessage[] = system === undefined ? [] : [{ role: 'system', text: system }];
  return {
    messages: [...before, ...conversation],
    sampling: { temperature, topP, seed },
    stop,
    ...(model === undefined ? {} : { model }),
    ...(tier === undefined ? {} : { tier }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(session === undefined ? {} : { sessionId: session }),
    ...(priority === undefined ? {} : { priority }),
    ...(prefer.length === 0 ? {} : { preference: preferenceOf(prefer) }),
    limits: {
      maxCostUsd: settings.maxCost,
      maxLatencyMs: settings.maxLatency === undefined ? undefined : Math.round(settings.maxLatency * 1000),
      minQuality: settings.minQuality,
    },
    zones,
    withoutExploration: !explore,
    cache: cacheInput(settings),
    ...(jsonSchema === undefined ? {} : { jsonSchema: readSchema(jsonSchema) }),
  };
}

const CACHE_MODES = { use: undefined, bypass: 'bypass', refresh: 'refresh', only: 'only-if-cached' } as const;

/** Who names a mode means it for this prompt, whether it has a seed or not. */
function cacheInput({ cacheMode, semantic, paced }: ChatSettings): CacheInput {
  const mode = cacheMode && CACHE_MODES[cacheMode];
  return { paced, ...(cacheMode ? { sampled: true } : {}), ...(semantic ? { semantic } : {}), ...(mode ? { mode } : {}) };
}

function preferenceOf(prefer: readonly string[]): Partial<Record<(typeof WEIGHTS)[number], number>> {
  return Object.fromEntries(prefer.map((one) => [nameIn(one), Number(one.slice(one.indexOf('=') + 1))]));
}

function nameIn(preference: string): string {
  return preference.slice(0, preference.indexOf('='));
}

export function deadlineMs({ deadline }: ChatSettings): { readonly deadlineMs?: number } {
  return deadline === undefined ? {} : { deadlineMs: deadline * 1000 };
}

function readSchema(path: string): object {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read --json-schema ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    const schema: unknown = JSON.parse(text);
    if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) return schema;
  } catch {
    // Not JSON: told below.
  }
  throw new UsageError(`--json-schema ${path} must hold a JSON object`);
}
