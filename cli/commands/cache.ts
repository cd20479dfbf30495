/** infermesh cache */
import type { Command } from 'commander';
import { z } from 'zod';
import type { CacheLayerStats, GetCacheStatsResponse, RedisStats } from '../../client/index.ts';
import { RedisState } from '../../client/index.ts';
import { resolveSettings } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { addConnectionFlags, CONNECTION_HELP, connectionSchema, connectionSettings, withMesh } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { cacheLayerName, redisStateName } from '../output/names.ts';
import { table } from '../output/table.ts';
import { harmless, style } from '../output/terminal.ts';
import { bytes, percent, usd } from '../output/units.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh cache stats                            what the router's cache holds, and what it saved
  infermesh cache purge                            forget everything, at every router that shares the Redis
  infermesh cache purge --layer answers            forget answers alone
  infermesh cache purge --tenant acme              forget what is one tenant's; --tenant "" of those without one
`;

const purgeSchema = connectionSchema.extend({
  layer: z.enum(['answers', 'evidence', 'embeddings'], { error: 'must be answers, evidence or embeddings' }).optional(),
  tenant: z.string().optional(),
});

const PURGE_HELP: FlagHelp<typeof purgeSchema> = {
  ...CONNECTION_HELP,
  layer: ['NAME', 'what to forget: answers, evidence or embeddings (default: all)'],
  tenant: ['ID', "whose; an empty one stands for those without a tenant (default: everybody's)"],
};

export function define(command: Command): void {
  command.addHelpText('after', EXAMPLES).helpCommand(false);
  const shown = command
    .command('stats')
    .summary('show what the cache holds, and what it saved')
    .description('Shows what the cache of a router holds and has done since the router started.');
  action(addConnectionFlags(shown), stats);
  const purged = command
    .command('purge')
    .summary('forget what is cached')
    .description('Forgets what is cached: at the router, in Redis, and within seconds at every router that shares it.');
  action(addFlags(purged, purgeSchema, PURGE_HELP), purge);
}

async function stats({ command, terminal }: Context): Promise<void> {
  const counts = await withMesh(connectionSettings(command), (mesh) => mesh.cacheStats());
  if (terminal.json) terminal.object(readable(counts));
  else terminal.line(overview(counts));
}

async function purge({ command, terminal }: Context): Promise<void> {
  const settings = asUsage(() => resolveSettings(purgeSchema, sourcesOf(command, ['client'])));
  const { layer, tenant } = settings;
  const asked = { ...(layer === undefined ? {} : { layer }), ...(tenant === undefined ? {} : { tenant }) };
  const { memory, redis } = await withMesh(settings, (mesh) => mesh.purgeCache(asked));
  if (terminal.json) terminal.object({ memory, redis });
  else terminal.line(`forgotten: ${entries(memory)} in the router's memory, ${entries(redis)} in Redis`);
}

function entries(count: number): string {
  return `${count} ${count === 1 ? 'entry' : 'entries'}`;
}

function readable({ layers, redis, ...counts }: GetCacheStatsResponse): object {
  return {
    layers: layers.map((one) => ({ ...one, layer: cacheLayerName(one.layer) })),
    ...(redis ? { redis: { ...redis, state: redisStateName(redis.state) } } : {}),
    ...counts,
  };
}

const COLUMNS = [
  { title: 'LAYER' },
  { title: 'HITS', align: 'right' },
  { title: 'OF REDIS', align: 'right' },
  { title: 'MISSES', align: 'right' },
  { title: 'RATE', align: 'right' },
  { title: 'WRITTEN', align: 'right' },
  { title: 'ENTRIES', align: 'right' },
  { title: 'MEMORY', align: 'right' },
  { title: 'EVICTED', align: 'right' },
  { title: 'TOO LARGE', align: 'right' },
  { title: 'REJECTED', align: 'right' },
] as const;

function overview({ layers, redis, shared, savedUsd, semantic }: GetCacheStatsResponse): string {
  if (layers.length === 0) return '  the cache of this router is off';
  return [
    table(COLUMNS, layers.map(rowOf)),
    '',
    ...(redis ? [`  redis      ${redisLine(redis)}`] : []),
    `  saved      ${usd(savedUsd)}   ${shared} ${shared === 1 ? 'request' : 'requests'} answered along with an equal one`,
    ...(semantic?.active ? [`  semantic   ${semanticLine(semantic)}`] : []),
  ].join('\n');
}

function rowOf({ layer, hitsMemory, hitsRedis, misses, writes, ...now }: CacheLayerStats): string[] {
  const hits = hitsMemory + hitsRedis;
  return [
    cacheLayerName(layer),
    String(hits),
    String(hitsRedis),
    String(misses),
    hits + misses === 0 ? '-' : percent(hits / (hits + misses)),
    String(writes),
    String(now.entries),
    `${bytes(now.bytes)} of ${bytes(now.bytesLimit)}`,
    String(now.evicted),
    String(now.tooLarge),
    String(now.rejected),
  ];
}

function redisLine({ state, kind, version, calls, failed, skipped }: RedisStats): string {
  if (state === RedisState.REDIS_STATE_NONE) return "none: the router's memory is all the cache there is";
  const shown = state === RedisState.REDIS_STATE_UP ? 'up' : style('yellow', 'down');
  const server = [kind, harmless(version)].filter((part) => part !== '').join(' ');
  return `${shown}   ${server}   ${calls} calls   ${failed} failed   ${skipped} skipped`;
}

function semanticLine(semantic: NonNullable<GetCacheStatsResponse['semantic']>): string {
  const { index, entries: held, hits, guarded, checked, falseHits, falseHitRateUpper, stopped } = semantic;
  const rate = checked === 0 ? '' : ` (at most ${percent(falseHitRateUpper)})`;
  const state = stopped ? style('red', 'stopped: too many false hits   ') : '';
  return `${state}${harmless(index)}   ${entries(held)}   ${hits} hits   ${guarded} ruled out   ${checked} checked, ${falseHits} false${rate}`;
}
