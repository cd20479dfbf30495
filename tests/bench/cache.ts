/**
 * What the cache gives: how fast its answers are and what they cost the router, what it saves under a load as services
 * make it, and how often an answer is generated that a thousand clients want at once. Real routers, a real Redis, nodes
 * that replay tokens at a fixed rate, so that an answer takes as long as the model it stands for.
 */
import { parseArgs } from 'node:util';
import { seeded } from '../support/clock.ts';
import { startRedis } from '../support/redis.ts';
import { hits } from './cache/hits.ts';
import { mixed } from './cache/mixed.ts';
import { stampede } from './cache/stampede.ts';
import { repeatedShare, workload } from './cache/workload.ts';
import type { Report } from './report.ts';

const OPTIONS = {
  /** Cached answers of each kind that are timed. */
  hits: { type: 'string', default: '1000' },
  /** Of the mixed load, which runs three times. */
  requests: { type: 'string', default: '2000' },
  prompts: { type: 'string', default: '1000' },
  exponent: { type: 'string', default: '1' },
  rate: { type: 'string', default: '120' },
  stampede: { type: 'string', default: '1000' },
  /** hits, mixed, stampede; absent: all. */
  only: { type: 'string', multiple: true },
} as const;

const SAMPLED_SHARE = 0.2;
const SEED = 5;

const TARGETS: Report['targets'] = [
  { figure: 'memory_share', least: 0.99, unit: '' },
  { figure: 'redis_share', least: 0.99, unit: '' },
  { figure: 'memory_p50_ms', most: 1, unit: 'ms' },
  { figure: 'memory_p99_ms', most: 10, unit: 'ms' },
  { figure: 'redis_p50_ms', most: 3, unit: 'ms' },
  { figure: 'redis_p99_ms', most: 10, unit: 'ms' },
  { figure: 'mixed_memory_hits_of_repeatable', least: 0.6, unit: '' },
  { figure: 'mixed_memory_latency_less', least: 0.3, unit: '' },
  { figure: 'mixed_memory_cost_less', least: 0.25, unit: '' },
  { figure: 'mixed_redis_two_routers_hits_of_repeatable', least: 0.6, unit: '' },
  { figure: 'mixed_redis_two_routers_latency_less', least: 0.3, unit: '' },
  { figure: 'mixed_redis_two_routers_cost_less', least: 0.25, unit: '' },
  { figure: 'stampede_generations', most: 1, unit: 'generation' },
  { figure: 'stampede_two_routers_generations', most: 1, unit: 'generation' },
];

export async function cache(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  await using redis = await startRedis({ ofItsOwn: true });
  const redisUrl = redis.url;
  const load = {
    requests: Number(values.requests),
    prompts: Number(values.prompts),
    exponent: Number(values.exponent),
    perSecond: Number(values.rate),
    sampledShare: SAMPLED_SHARE,
    maxTokens: 512,
  };
  const requests = workload(load, seeded(SEED));
  const parts: Readonly<Record<string, () => Promise<Record<string, number>>>> = {
    hits: () => hits({ hits: Number(values.hits), redisUrl }),
    mixed: async () => ({ mixed_repeated_share: repeatedShare(requests), ...(await mixed({ requests, redisUrl })) }),
    stampede: () => stampede({ requests: Number(values.stampede), redisUrl }),
  };
  const figures: Record<string, number> = {};
  for (const [name, part] of Object.entries(parts)) {
    if (!values.only || values.only.includes(name)) Object.assign(figures, await part());
  }
  return {
    name: 'cache',
    figures,
    targets: TARGETS.filter(({ figure }) => !values.only || figure in figures),
    notes: [
      `Of the mixed load ${100 * SAMPLED_SHARE} % are drawn by chance, which no cache may answer; of the others mixed_repeated_share have been asked before, which is the most that any cache could give.`,
      'The clients are grpc-js in a process of their own: what they take is in every latency.',
    ],
  };
}
