/**
 * What a hundred ordinary prompts do on a running mesh: which tiers answer them, and what that saves against always
 * using the strongest, as `infermesh stats` counts it. Once on three tiers whose engine replays canned tokens at the
 * rates of a 1B, a 3B and a 7B model on one machine; once on the two models of `infermesh up`, which really answer.
 */
import { parseArgs } from 'node:util';
import type { GetStatsResponse, Mesh } from '../../client/index.ts';
import { Tier } from '../../client/index.ts';
import type { NodeOptions } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import type { Report } from './report.ts';
import { MIXED_PROMPTS } from './support/mixed-prompts.ts';

const OPTIONS = {
  /** Of the models that really answer, every so many prompts only: a small machine takes seconds for each. */
  every: { type: 'string', default: '4' },
} as const;

const TIERS: readonly NodeOptions[] = [
  tier('fast', 'llama-3.2-1b-instruct', 180, 15),
  tier('balanced', 'llama-3.2-3b-instruct', 75, 30),
  tier('quality', 'mistral-7b-instruct', 30, 60),
];

const BUNDLED: readonly NodeOptions[] = [
  { model: 'stories-15m', threads: 1, slots: 4 },
  { model: 'tinyllama-1.1b-chat', threads: 1, slots: 2, flags: ['--as-tier', 'balanced'] },
];

function tier(name: string, model: string, rate: number, watts: number): NodeOptions {
  const flags = ['--as-tier', name, '--watts', String(watts)];
  return { engine: 'replay', model, replay: `rate=${rate},length=20`, flags };
}

export async function split(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const tiers = await asked(TIERS, MIXED_PROMPTS, 512);
  const some = MIXED_PROMPTS.filter((_, index) => index % Number(values.every) === 0);
  const bundled = await asked(BUNDLED, some, 24);
  return {
    name: 'split',
    figures: {
      prompts: MIXED_PROMPTS.length,
      small_tier_share: shareOf(tiers, Tier.TIER_FAST),
      middle_tier_share: shareOf(tiers, Tier.TIER_BALANCED),
      large_tier_share: shareOf(tiers, Tier.TIER_QUALITY),
      simple_share:
        tiers.complexities.reduce((sum, one) => sum + (one.complexity === 1 ? one.requests : 0), 0) / MIXED_PROMPTS.length,
      saved_share: savedOf(tiers),
      bundled_prompts: some.length,
      bundled_small_model_share: shareOf(bundled, Tier.TIER_FAST),
      bundled_saved_share: savedOf(bundled),
    },
    targets: [
      { figure: 'small_tier_share', least: 0.5, unit: 'of prompts' },
      { figure: 'saved_share', least: 0.25, unit: 'of cost' },
    ],
    notes: ['Saved against always using the strongest of the mesh, by power x time at measured rates.'],
  };
}

async function asked(nodes: readonly NodeOptions[], prompts: readonly string[], maxTokens: number): Promise<GetStatsResponse> {
  await using mesh = await startMesh({ nodes });
  for (const prompt of prompts) await ask(mesh.client, prompt, maxTokens);
  return await mesh.client.stats();
}

async function ask(client: Mesh, prompt: string, maxTokens: number): Promise<void> {
  for await (const event of client.chat({ messages: prompt, maxTokens })) if (event.type === 'finished') return;
}

function shareOf({ models }: GetStatsResponse, tier: Tier): number {
  const all = models.reduce((sum, { chosen }) => sum + chosen, 0);
  return models.filter((one) => one.tier === tier).reduce((sum, { chosen }) => sum + chosen, 0) / all;
}

function savedOf({ costUsd, referenceUsd }: GetStatsResponse): number {
  return 1 - costUsd / referenceUsd;
}
