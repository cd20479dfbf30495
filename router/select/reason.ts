/** A decision in one sentence. Pure. */
import type { Considered } from './candidate.ts';
import type { Preference } from './policy.ts';
import { furthest } from './refusal.ts';
import { usd } from './words.ts';

interface Circumstances {
  readonly preference: Preference;
  /** Distinct points on the front. */
  readonly points: number;
  readonly explored: boolean;
}

/** tinyllama on box-1: quality .81, $0.000021, 1.2 s; nearest to cost .25 quality .5 latency .2 among 3 on the front; 2 ruled out */
export function reasonOf(all: readonly Considered[], best: Considered | undefined, circumstances: Circumstances): string {
  if (!best?.judged) return refusal(all);
  const { candidate, judged, estimate } = best;
  const figures = `quality ${fraction(judged.quality.mean)}, ${usd(judged.costUsd)}, ${duration(estimate.totalMs)}`;
  const who = `${candidate.model.name} on ${candidate.node}`;
  const out = all.filter(({ exclusion }) => exclusion && !exclusion.busy).length;
  const rivals = all.length - out;
  const why = rivals === 1 ? 'the only one left' : among(circumstances);
  const rest = out === 0 ? '' : `; ${out} ruled out`;
  return `${best.exclusion ? 'worth the wait: ' : ''}${who}: ${figures}; ${why}${rest}`;
}

function among({ preference, points, explored }: Circumstances): string {
  const draw = explored ? 'by a draw ' : '';
  const { cost, quality, latency, diversity } = preference;
  const weights = [weight('cost', cost), weight('quality', quality), weight('latency', latency), weight('diversity', diversity)];
  const front = points === 1 ? 'best in everything' : `nearest to ${weights.join('')}among ${points} on the front`;
  return draw + front;
}

function weight(name: string, value: number): string {
  return value === 0 ? '' : `${name} ${fraction(value)} `;
}

/** .81, 1, 0 */
function fraction(value: number): string {
  return String(Math.round(value * 100) / 100).replace(/^0\./, '.');
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toPrecision(ms < 100_000 ? 2 : 3)} s`;
}

function refusal(considered: readonly Considered[]): string {
  return considered.length === 0 ? 'no node serves any model' : (furthest({ considered })?.reason ?? 'nothing can serve');
}
