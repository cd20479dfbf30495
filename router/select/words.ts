/** Figures and names as they stand in reasons. Pure. */
import { NodeState, Tier } from '../../proto/gen/infermesh/v1/types.ts';

/** To two figures, however small: $0.000021. */
export function usd(value: number): string {
  if (value === 0) return '$0';
  const digits = Math.min(12, Math.max(2, 1 - Math.floor(Math.log10(value))));
  return `$${value.toFixed(digits)}`;
}

/** When something that takes so many milliseconds is over. */
export function inAbout(ms: number): string {
  return ms < 1000 ? 'it could serve within a second' : `it could serve in about ${Math.round(ms / 1000)} s`;
}

const words = (name: string, prefix: string) => name.slice(prefix.length).toLowerCase();

export function tierName(tier: Tier): string {
  return words(Object.entries(Tier).find(([, value]) => value === tier)?.[0] ?? 'TIER_UNSPECIFIED', 'TIER_');
}

export function stateName(state: NodeState): string {
  return words(Object.entries(NodeState).find(([, value]) => value === state)?.[0] ?? 'NODE_STATE_UNSPECIFIED', 'NODE_STATE_');
}
