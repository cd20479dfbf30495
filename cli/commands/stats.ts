/** infermesh stats */
import type { Command } from 'commander';
import type { GetStatsResponse } from '../../client/index.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { addConnectionFlags, connectionSettings, withMesh } from '../connection.ts';
import { complexityName, tierName } from '../output/names.ts';
import { table } from '../output/table.ts';
import { harmless, style } from '../output/terminal.ts';
import { bytes, duration, percent, share, usd } from '../output/units.ts';

const EXAMPLES = `
Examples:
  infermesh stats                which models answer what, what it costs and what that saves
  infermesh stats --json
`;

export function define(command: Command): void {
  addConnectionFlags(command).addHelpText('after', EXAMPLES);
  action(command, stats);
}

async function stats({ command, terminal }: Context): Promise<void> {
  const counts = await withMesh(connectionSettings(command), (mesh) => mesh.stats());
  if (terminal.json) terminal.object(readable(counts));
  else terminal.line(shown(counts));
}

function shown(counts: GetStatsResponse): string {
  const { models, complexities } = counts;
  const tables =
    models.length === 0 ? ['', '  no request has been answered yet'] : ['', modelTable(models), '', tierTable(complexities)];
  return [...headOf(counts), ...tables, ...(models.length === 0 ? [] : ['', savingOf(counts)])].join('\n');
}

function headOf(counts: GetStatsResponse): string[] {
  const { routerId, uptimeSeconds, nodes, requestsOpen, requestsWaiting, residentBytes, cpuSeconds } = counts;
  const { requestsFinished, requestsFailed, requestsCancelled, requestsCached, savedUsd } = counts;
  const { explored, feedbacks, migrations, retries, hedges } = counts;
  return [
    `${style('bold', harmless(routerId))}   up ${duration(uptimeSeconds)}   ${nodes} ${nodes === 1 ? 'node' : 'nodes'}   ${bytes(residentBytes)}   ${cpuSeconds.toFixed(1)} s of processor time`,
    `  requests   ${requestsFinished} finished   ${requestsFailed} failed   ${requestsCancelled} cancelled   ${requestsOpen} open, ${requestsWaiting} of them waiting`,
    `  cached     ${requestsCached} answered without being generated${savedUsd > 0 ? `, which saved ${usd(savedUsd)}` : ''}`,
    `  survived   ${migrations} moved to another node   ${retries} retried   ${hedges} raced by a second node`,
    `  learning   ${explored} tried against belief   ${feedbacks} rated`,
  ];
}

const MODEL_COLUMNS = [
  { title: 'MODEL' },
  { title: 'TIER' },
  { title: 'CHOSEN', align: 'right' },
  { title: 'SHARE', align: 'right' },
  { title: 'TOKENS IN', align: 'right' },
  { title: 'CACHED', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'COST', align: 'right' },
  { title: 'REWARD', align: 'right' },
] as const;

function modelTable(models: GetStatsResponse['models']): string {
  const all = models.reduce((sum, { chosen }) => sum + chosen, 0);
  const rows = models.map(({ model, tier, chosen, inputTokens, cachedInputTokens, outputTokens, costUsd, reward }) => [
    harmless(model),
    tierName(tier),
    String(chosen),
    percent(chosen / Math.max(1, all)),
    String(inputTokens),
    String(cachedInputTokens),
    String(outputTokens),
    usd(costUsd),
    reward > 0 ? share(reward) : '-',
  ]);
  return table(MODEL_COLUMNS, rows);
}

function tierTable(complexities: GetStatsResponse['complexities']): string {
  const tiers = [...new Set(complexities.flatMap((one) => one.tiers.map(({ tier }) => tier)))].toSorted((a, b) => a - b);
  const columns = [
    { title: 'PROMPTS' },
    { title: 'REQUESTS', align: 'right' } as const,
    ...tiers.map((tier) => ({ title: `TO ${tierName(tier).toUpperCase()}`, align: 'right' }) as const),
  ];
  const rows = complexities.map((one) => [
    complexityName(one.complexity),
    String(one.requests),
    ...tiers.map((tier) => percent((one.tiers.find((count) => count.tier === tier)?.requests ?? 0) / Math.max(1, one.requests))),
  ]);
  return table(columns, rows);
}

function savingOf({ costUsd, referenceUsd }: GetStatsResponse): string {
  if (referenceUsd === 0) return '  no model has a price or a known power: nothing to compare costs with';
  const saved = referenceUsd - costUsd;
  const verdict = `${style('bold', percent(saved / referenceUsd))} saved against always using the strongest model`;
  return `  cost ${usd(costUsd)}, of the strongest ${usd(referenceUsd)}: ${verdict}`;
}

/** For JSON: names instead of the protocol's numbers. */
function readable(counts: GetStatsResponse): object {
  return {
    ...counts,
    savedShare: counts.referenceUsd > 0 ? 1 - counts.costUsd / counts.referenceUsd : 0,
    models: counts.models.map((one) => ({ ...one, tier: tierName(one.tier) })),
    complexities: counts.complexities.map(({ complexity, requests, tiers }) => ({
      complexity: complexityName(complexity),
      requests,
      tiers: Object.fromEntries(tiers.map(({ tier, requests }) => [tierName(tier), requests])),
    })),
  };
}
