/** A choice, so that a person understands it at a glance: what was asked, what mattered, who competed, who won. */
import type { Candidate, Decision, ExplainResponse } from '../../client/index.ts';
import { complexityName, tierName } from './names.ts';
import { table } from './table.ts';
import { harmless, style } from './terminal.ts';
import { milliseconds, percent, share, usd } from './units.ts';

export function explained({ decision, candidates }: ExplainResponse): string {
  const chosen = candidates.find((candidate) => candidate.chosen);
  const head = chosen
    ? `${style('bold', harmless(chosen.model))} on ${style('bold', harmless(chosen.node))}`
    : style('yellow', 'nothing can answer this now');
  const facts = decision ? ['', ...factsOf(decision)] : [];
  const rows = candidates.length > 0 ? ['', table(COLUMNS, candidates.map(row)), '', LEGEND] : [];
  return [head, harmless(decision?.reason ?? ''), ...facts, ...rows].join('\n');
}

/** For JSON: names instead of the protocol's numbers. */
export function readableDecision(decision: Decision): object {
  const tiers = Object.fromEntries(decision.tiers.map(({ tier, probability }) => [tierName(tier), probability]));
  return { ...decision, complexity: complexityName(decision.complexity), tiers };
}

function factsOf(decision: Decision): string[] {
  const { domain, task, language, expectedOutputTokens, followUp, tiers, preference, policy, propensity, explored } = decision;
  const complexity = complexityName(decision.complexity);
  const about = `${complexity} ${task} about ${domain}, in ${language === 'und' ? 'no language that is known' : language}`;
  const chances = tiers.map(({ tier, probability }) => `${tierName(tier)} ${percent(probability)}`).join('  ');
  const weights = Object.entries(preference ?? {}).map(([name, weight]) => `${name} ${share(weight)}`);
  return [
    fact('prompt', `${about}; about ${expectedOutputTokens} tokens to come${followUp ? '; follows up on the conversation' : ''}`),
    fact('suffices', chances),
    fact('weights', `${weights.join('  ')}  (policy ${harmless(policy)})`),
    fact('draw', `${percent(propensity)} for this model; ${explored ? 'tried, to learn more of it' : 'believed best'}`),
  ];
}

function fact(name: string, text: string): string {
  return `  ${style('dim', name.padEnd(9))} ${text}`;
}

const LEGEND = style('dim', '  ✓ chosen   ◆ on the Pareto front   · behind it   ✗ ruled out; the least distance wins');

const COLUMNS = [
  { title: ' ' },
  { title: 'NODE' },
  { title: 'MODEL' },
  { title: 'QUALITY', align: 'right' },
  { title: 'DRAWN', align: 'right' },
  { title: 'COST', align: 'right' },
  { title: 'WAIT', align: 'right' },
  { title: 'FIRST TOKEN', align: 'right' },
  { title: 'WHOLE', align: 'right' },
  { title: 'CACHED', align: 'right' },
  { title: 'DISTANCE', align: 'right' },
  { title: 'WHY NOT' },
] as const;

function row(candidate: Candidate): string[] {
  const { node, model, exclusion, objectives, drawnQuality, distance, cachedPromptTokens, session } = candidate;
  const times = [candidate.expectedWaitMs, candidate.expectedFirstTokenMs, objectives?.latencyMs ?? candidate.expectedTotalMs];
  const judged = objectives && !exclusion;
  return [
    markOf(candidate),
    harmless(node),
    harmless(model),
    objectives ? `${share(objectives.quality)} ±${share(objectives.qualitySd)}` : '-',
    judged ? share(drawnQuality) : '-',
    objectives ? usd(objectives.costUsd) : '-',
    ...times.map(milliseconds),
    cachedPromptTokens > 0 ? String(cachedPromptTokens) : '-',
    judged ? distance.toFixed(3).replace(/^0/, '') : '-',
    harmless(exclusion || (session ? 'the conversation was here' : '')),
  ];
}

function markOf({ chosen, exclusion, onFront }: Candidate): string {
  if (chosen) return style('green', '✓');
  if (exclusion) return style('red', '✗');
  return onFront ? '◆' : '·';
}
