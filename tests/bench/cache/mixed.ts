/** A load as services make it, without a cache, with one in memory, and with one that two routers share. */
import type { NodeOptions } from '../../support/mesh.ts';
import { percentile } from '../report.ts';
import { ask, isReused, startAsked } from './asking.ts';
import type { Answer, Request } from './clients.ts';

/** Answers of 40 tokens at the pace and price of a small and a large model; slots enough that nobody waits. */
const NODES: readonly NodeOptions[] = [
  model('llama-3.2-1b-instruct', 'fast', 180, 0.1),
  model('mistral-7b-instruct', 'quality', 60, 1),
];

function model(name: string, tier: string, rate: number, usdPerMillion: number): NodeOptions {
  const flags = ['--as-tier', tier, '--input-price', String(usdPerMillion), '--output-price', String(usdPerMillion)];
  return { engine: 'replay', model: name, id: tier, replay: `rate=${rate},length=40`, slots: 128, flags };
}

interface Kind {
  readonly name: string;
  readonly flags: readonly string[];
  readonly routers: number;
}

export interface Mixed {
  readonly requests: readonly Request[];
  readonly redisUrl: string;
}

export async function mixed({ requests, redisUrl }: Mixed): Promise<Record<string, number>> {
  const kinds: readonly Kind[] = [
    { name: 'without', flags: ['--no-cache'], routers: 1 },
    { name: 'memory', flags: [], routers: 1 },
    { name: 'redis_two_routers', flags: ['--redis', redisUrl], routers: 2 },
  ];
  const figures: Record<string, number> = {};
  const means = new Map<string, Means>();
  for (const kind of kinds) {
    const answers = await asked(kind, requests);
    means.set(kind.name, meansOf(answers));
    Object.assign(figures, figuresOf(kind.name, answers, requests));
  }
  const without = means.get('without') as Means;
  for (const name of ['memory', 'redis_two_routers']) {
    const { ms, usd } = means.get(name) as Means;
    figures[`mixed_${name}_latency_less`] = 1 - ms / without.ms;
    figures[`mixed_${name}_cost_less`] = 1 - usd / without.usd;
  }
  return figures;
}

async function asked({ flags, routers }: Kind, requests: readonly Request[]): Promise<readonly Answer[]> {
  await using mesh = await startAsked(NODES, flags, routers);
  const spread = requests.map((request, index) => ({ ...request, to: index % routers }));
  return await ask(mesh, spread, { atOnce: 0, connections: 4 });
}

interface Means {
  readonly ms: number;
  readonly usd: number;
}

function meansOf(answers: readonly Answer[]): Means {
  const mean = (pick: (answer: Answer) => number) => answers.reduce((sum, answer) => sum + pick(answer), 0) / answers.length;
  return { ms: mean(({ ms }) => ms), usd: mean(({ usd }) => usd) };
}

function figuresOf(name: string, answers: readonly Answer[], requests: readonly Request[]): Record<string, number> {
  const repeatable = answers.filter((_, index) => requests[index]?.temperature === 0);
  const share = (of: readonly Answer[]) => of.filter(isReused).length / of.length;
  const { ms, usd } = meansOf(answers);
  const latencies = {
    [`mixed_${name}_mean_ms`]: ms,
    [`mixed_${name}_p99_ms`]: percentile(
      answers.map((answer) => answer.ms),
      0.99,
    ),
    [`mixed_${name}_usd_per_1000`]: 1000 * usd,
  };
  if (name === 'without') return latencies;
  return {
    ...latencies,
    [`mixed_${name}_hits_of_repeatable`]: share(repeatable),
    [`mixed_${name}_hits_of_all`]: share(answers),
  };
}
