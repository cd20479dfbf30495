/** A classification for people, and as one JSON object. */
import { TIERS } from '../../router/index.ts';
import { table } from '../output/table.ts';
import { harmless, style } from '../output/terminal.ts';
import { percent } from '../output/units.ts';
import type { Scored } from './scorer.ts';

/** @param learnt models that scored prompts were given of; only these are shown */
export function shown({ classification, rank, quality, usd }: Scored, learnt: readonly string[]): string {
  const { complexity, suffices, domain, task, language, expectedOutputTokens } = classification;
  const facts: [name: string, value: string][] = [
    ['complexity', style('bold', complexity)],
    ['suffices', TIERS.map((tier) => `${tier} ${percent(suffices[tier])}`).join('   ')],
    ['rank', `${rank.toFixed(3)}   (higher goes to a strong model first)`],
    ['domain', domain],
    ['task', task],
    ['language', language],
    ['answer', `about ${Math.round(expectedOutputTokens)} tokens`],
  ];
  const lines = facts.map(([name, value]) => `  ${style('dim', name.padEnd(11))} ${value}`);
  if (learnt.length === 0) return lines.join('\n');
  const rows = learnt
    .toSorted((a, b) => (quality[b] ?? 0) - (quality[a] ?? 0))
    .map((model) => [harmless(model), percentOf(quality[model]), costOf(usd[model])]);
  return [...lines, '', table(COLUMNS, rows)].join('\n');
}

const COLUMNS = [{ title: 'MODEL' }, { title: 'QUALITY', align: 'right' }, { title: 'USD PER 1,000', align: 'right' }] as const;

export function shownJson({ classification, rank, quality, usd }: Scored) {
  const { complexity, suffices, domain, task, language, expectedOutputTokens } = classification;
  return { complexity, suffices, rank, domain, task, language, expectedOutputTokens, q: quality, c: usd };
}

function percentOf(quality: number | undefined): string {
  return quality === undefined ? '-' : percent(quality);
}

function costOf(usd: number | undefined): string {
  return usd === undefined ? '-' : (usd * 1000).toPrecision(3);
}
