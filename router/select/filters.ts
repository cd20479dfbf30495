/**
 * Hard limits, each a function that gives the reason why a candidate is out of the question, or nothing. They run in
 * this order and the first reason stands. To add one, write it here and name it in FILTERS.
 */
import { NodeState, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import { fewestTokens } from '../classify/size.ts';
import type { Ask, Candidate, Estimate, Exclusion } from './candidate.ts';

type Filter = (candidate: Candidate, ask: Ask, estimate: Estimate) => string | undefined;

const target: Filter = ({ model }, { target }) => {
  if (target.type === 'model' && target.name !== model.name) return `another model was asked for (${target.name})`;
  if (target.type === 'tier' && target.tier !== model.tier) return `another tier was asked for (${tierName(target.tier)})`;
  return undefined;
};

const structured: Filter = ({ model }, ask) =>
  ask.structured && !model.structuredOutput ? 'its engine cannot hold an answer to a JSON schema' : undefined;

const context: Filter = ({ model }, { promptBytes }) => {
  const fewest = fewestTokens(promptBytes);
  return fewest >= model.contextLength
    ? `the prompt has at least ${fewest} tokens, its context ${model.contextLength}`
    : undefined;
};

const state: Filter = (candidate) => {
  if (candidate.state === NodeState.NODE_STATE_SERVING) return undefined;
  return `the node is ${stateName(candidate.state)}`;
};

const deadline: Filter = (_candidate, { remainingMs }, { soonestMs }) =>
  soonestMs > remainingMs
    ? `its first token cannot come before ${Math.round(soonestMs)} ms, the deadline is in ${Math.round(remainingMs)} ms`
    : undefined;

const slot: Filter = ({ freeSlots }) => (freeSlots > 0 ? undefined : 'all its slots are taken');

/** `slot` is last: what only lacks a slot is worth waiting for. */
const FILTERS: readonly (readonly [name: string, filter: Filter])[] = [
  ['target', target],
  ['structured', structured],
  ['context', context],
  ['state', state],
  ['deadline', deadline],
  ['slot', slot],
];

export function exclusionOf(candidate: Candidate, ask: Ask, estimate: Estimate): Exclusion | undefined {
  for (const [name, filter] of FILTERS) {
    const reason = filter(candidate, ask, estimate);
    if (reason !== undefined) return { filter: name, reason, busy: name === 'slot' };
  }
  return undefined;
}

const words = (name: string, prefix: string) => name.slice(prefix.length).toLowerCase();

export function tierName(tier: Tier): string {
  return words(Object.entries(Tier).find(([, value]) => value === tier)?.[0] ?? 'TIER_UNSPECIFIED', 'TIER_');
}

export function stateName(state: NodeState): string {
  return words(Object.entries(NodeState).find(([, value]) => value === state)?.[0] ?? 'NODE_STATE_UNSPECIFIED', 'NODE_STATE_');
}
