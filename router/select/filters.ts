/**
 * Hard limits, each a small rule with the reason that it gives for a candidate it rules out. They run in the order of
 * the lists and the first one stands; to add one, write it here and name it in its list.
 *
 *   PERMITS   what is asked for, allowed and there, before any figure is known
 *   LIMITS    what may not be exceeded, by the figures
 *   (suitability.ts: who cannot do the task goes if somebody can)
 *   PLACES    room to start or to wait
 */
import { classifiesOnly } from '../../proto/contract/classes.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { NodeState } from '../../proto/gen/infermesh/v1/types.ts';
import { fewestTokens } from '../classify/size.ts';
import type { Target } from './candidate.ts';
import { allows } from './policy.ts';
import type { Rule } from './rule.ts';
import { inAbout, stateName, tierName, usd } from './words.ts';

/** Whether a request that asks so may be answered by the model. */
export function isTarget({ name, tier, tasks }: Pick<ServedModel, 'name' | 'tier' | 'tasks'>, target: Target): boolean {
  if (target.type === 'model') return target.name === name;
  if (embedsOnly(tasks) || classifiesOnly(tasks)) return false;
  return target.type === 'auto' || target.tier === tier;
}

const target: Rule = {
  name: 'target',
  rulesOut: ({ model }, { target }) => !isTarget(model, target),
  reason: ({ model }, { target }) => {
    if (target.type === 'model') return `another model was asked for (${target.name})`;
    if (classifiesOnly(model.tasks)) return 'its model tells classes of texts, to those who ask for it by name';
    if (embedsOnly(model.tasks) || target.type === 'auto') return NO_ANSWERS;
    return `another tier was asked for (${tierName(target.tier)})`;
  },
};

const NO_ANSWERS = 'its model makes vectors of texts and answers nothing';

/** Where it was asked for by name; nothing else finds it. */
const answers: Rule = {
  name: 'answers',
  rulesOut: ({ model }) => embedsOnly(model.tasks),
  reason: () => NO_ANSWERS,
};

const resumable: Rule = {
  name: 'resumable',
  rulesOut: ({ model, cold }, { resume, structured }) => {
    if (resume === undefined) return false;
    // Of one that is not in memory the tokenizer may not be known yet.
    const isOther = model.tokenizerDigest !== resume.tokenizerDigest && !(cold && model.tokenizerDigest === '');
    return model.name !== resume.model || isOther || !(structured ? model.resumesStructured : model.resumes);
  },
  reason: () => 'it cannot go on behind what was delivered',
};

const policy: Rule = {
  name: 'policy',
  rulesOut: ({ model }, { policy }) => !allows(policy, model.name),
  reason: (_, { policy }) => `the policy ${policy.name} does not allow its model`,
};

const zone: Rule = {
  name: 'zone',
  rulesOut: ({ zone }, { policy: { zones } }) => zones.length > 0 && !zones.includes(zone),
  reason: ({ zone }) => (zone === '' ? 'it is in no zone' : `its zone, ${zone}, may not answer`),
};

const structured: Rule = {
  name: 'structured',
  rulesOut: ({ model }, ask) => ask.structured && !model.structuredOutput,
  reason: () => 'its engine cannot hold an answer to a JSON schema',
};

const context: Rule = {
  name: 'context',
  rulesOut: ({ model }, { promptBytes }) => fewestTokens(promptBytes) >= model.contextLength,
  reason: ({ model }, { promptBytes }) =>
    `the prompt has at least ${fewestTokens(promptBytes)} tokens, its context ${model.contextLength}`,
};

const state: Rule = {
  name: 'state',
  rulesOut: ({ state, trouble }) => trouble !== undefined || state !== NodeState.NODE_STATE_SERVING,
  reason: ({ state, trouble, alone }) =>
    trouble ? TROUBLES[trouble] : `${alone ? 'its model' : 'the node'} is ${stateName(state)}`,
};

const TROUBLES = {
  wedged: 'its engine gives no tokens',
  flapping: 'the node left and came back too often',
} as const;

const breaker: Rule = {
  name: 'breaker',
  rulesOut: ({ barred }) => barred !== undefined,
  reason: ({ barred }) =>
    barred === 'open' ? 'too much failed there lately' : 'too much failed there lately, and one request tries it now',
};

/** So long a rest is waited for as a slot is; who would have to wait longer is told when to come back. */
const SHORT_REST_MS = 2_000;

const rest: Rule = {
  name: 'rest',
  rulesOut: ({ restsMs = 0 }) => restsMs > SHORT_REST_MS,
  reason: ({ restsMs = 0 }) => `its engine takes no more for now; it may be asked again in ${Math.ceil(restsMs / 1000)} s`,
};

/** A model that has left memory since it failed a request comes back as another. */
const tried: Rule = {
  name: 'tried',
  rulesOut: ({ node, cold }, { tried }) => !cold && tried.has(node),
  reason: () => 'the request has failed there already',
};

const hedge: Rule = {
  name: 'hedge',
  rulesOut: ({ model }, { hedge = false }) => hedge && model.billsAfterDisconnect,
  reason: () => 'its provider charges for answers that are given up',
};

const load: Rule = {
  name: 'load',
  rulesOut: ({ cold }) => cold?.refused !== undefined,
  reason: ({ cold }) => `its model is not in memory, and ${cold?.refused}`,
};

export const PERMITS: readonly Rule[] = [
  target,
  answers,
  resumable,
  policy,
  zone,
  structured,
  context,
  state,
  breaker,
  rest,
  tried,
  hedge,
  load,
];

const deadline: Rule = {
  name: 'deadline',
  rulesOut: (_, { remainingMs }, { estimate }) => estimate.soonestMs > remainingMs,
  reason: ({ cold }, { remainingMs }, { estimate }) =>
    `${cold ? 'its model is not in memory: ' : ''}its first token cannot come before ${Math.round(estimate.soonestMs)} ms, the deadline is in ${Math.round(remainingMs)} ms`,
};

const cost: Rule = {
  name: 'cost',
  rulesOut: (_, { policy: { limits } }, { judged }) => above(judged?.costUsd, limits.maxCostUsd),
  reason: (_, { policy: { limits } }, { judged }) =>
    `it would cost ${usd(judged?.costUsd ?? 0)}, the most allowed is ${usd(limits.maxCostUsd ?? 0)}`,
};

const latency: Rule = {
  name: 'latency',
  rulesOut: (_, { policy: { limits } }, { estimate }) => above(estimate.totalMs, limits.maxLatencyMs),
  reason: (_, { policy: { limits } }, { estimate }) =>
    `it would take ${Math.ceil(estimate.totalMs)} ms, the most allowed is ${limits.maxLatencyMs} ms`,
};

const firstToken: Rule = {
  name: 'first_token',
  rulesOut: (_, { policy: { limits } }, { estimate }) => above(estimate.firstTokenMs, limits.maxFirstTokenMs),
  reason: (_, { policy: { limits } }, { estimate }) =>
    `its first token would take ${Math.ceil(estimate.firstTokenMs)} ms, the most allowed is ${limits.maxFirstTokenMs} ms`,
};

const quality: Rule = {
  name: 'quality',
  rulesOut: (_, { policy: { limits } }, { judged }) => above(limits.minQuality, judged?.quality.mean),
  reason: (_, { policy: { limits } }, { judged }) =>
    `its expected quality is ${(judged?.quality.mean ?? 0).toFixed(3)}, the least allowed is ${limits.minQuality}`,
};

export const LIMITS: readonly Rule[] = [deadline, cost, latency, firstToken, quality];

export const suitabilityRule: Rule = {
  name: 'suitability',
  rulesOut: () => false,
  reason: (_, { classification }) => `another model is better suited to the task (${classification.task})`,
};

/** Gives way while anybody else can serve; see decide.ts. */
const memory: Rule = {
  name: 'memory',
  rulesOut: ({ short }) => short === 'others_first',
  reason: () => 'the node is short of memory',
};

export const smallerRule: Rule = {
  name: 'smaller',
  rulesOut: () => false,
  reason: () => 'the node is short of memory, and a smaller model there can answer',
};

const crowded: Rule = {
  name: 'crowded',
  rulesOut: ({ model }, { crowded }) => crowded.has(model.name),
  reason: () => 'too many requests wait for its model',
};

/** Waited for as a slot is. */
const cold: Rule = {
  name: 'cold',
  busy: true,
  rulesOut: ({ cold }) => cold !== undefined,
  reason: ({ cold }) => `its model is ${cold?.loading ? 'being loaded' : 'not in memory'}: ${inAbout(cold?.readyMs ?? 0)}`,
};

const shortRest: Rule = { ...rest, name: 'short_rest', busy: true, rulesOut: ({ restsMs = 0 }) => restsMs > 0 };

/** Last: what only lacks a slot is worth waiting for. */
const slot: Rule = {
  name: 'slot',
  busy: true,
  rulesOut: ({ freeSlots }) => freeSlots <= 0,
  reason: () => 'all its slots are taken',
};

/** For those whose node is to be spared if it can be, and for all others. */
export const PLACES_AT_NEED: readonly Rule[] = [crowded, cold, shortRest, slot];
export const PLACES: readonly Rule[] = [memory, ...PLACES_AT_NEED];

/** Neither is known to be above the other while one is undefined. */
function above(value: number | undefined, limit: number | undefined): boolean {
  return value !== undefined && limit !== undefined && value > limit;
}
