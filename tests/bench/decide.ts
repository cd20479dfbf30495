/**
 * How long a whole decision takes: from the messages of a request to the model and node that answer it. Classify, look
 * for prefixes in the KV caches, filter, estimate, judge, find the front, draw, and the sentence that says why; with a
 * bandit that has learnt and the weights that ship. In one warm process, with fleets of 8 models on 1 to 64 nodes.
 */
import { parseArgs } from 'node:util';
import { prefixesOf } from '../../proto/contract/prefix.ts';
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';
import { NodeState, Price, Role, ServedModel, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import { openClassifier } from '../../router/classifier.ts';
import type { LexicalClassifier } from '../../router/classify/classifier.ts';
import { sizeOf } from '../../router/classify/size.ts';
import { Locality } from '../../router/fleet/locality.ts';
import { Bandit } from '../../router/select/bandit/bandit.ts';
import type { Ask, Candidate, Knowledge } from '../../router/select/candidate.ts';
import { decide as decideAmong } from '../../router/select/decide.ts';
import { DEFAULT_POLICY } from '../../router/select/policy.ts';
import type { Random } from '../../router/select/random.ts';
import { seeded } from '../../router/select/random.ts';
import type { Report } from './report.ts';
import { median, percentile } from './report.ts';
import { MIXED_PROMPTS } from './support/mixed-prompts.ts';

const OPTIONS = {
  runs: { type: 'string', default: '7' },
  decisions: { type: 'string', default: '3000' },
} as const;

const MODELS = 8;
const NODES = [1, 8, 32, 64];
const WARM_UP = 2000;
const NOW = 1_000_000;

export async function decide(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const classifier = openClassifier();
  const figures: Record<string, number> = {};
  for (const nodes of NODES) {
    const fleet = fleetOf(nodes, seeded(nodes));
    const name = `${nodes * MODELS}_candidates`;
    const times = measured(fleet, classifier, Number(values.runs), Number(values.decisions));
    figures[`${name}_p50_us`] = median(times.map((run) => percentile(run, 0.5)));
    figures[`${name}_p99_us`] = median(times.map((run) => percentile(run, 0.99)));
    figures[`${name}_best_run_p99_us`] = Math.min(...times.map((run) => percentile(run, 0.99)));
  }
  return {
    name: 'decide',
    figures,
    targets: [
      { figure: '256_candidates_p50_us', most: 200, unit: 'us' },
      { figure: '256_candidates_p99_us', most: 1000, unit: 'us' },
    ],
    notes: [
      `Classifying included; ${MODELS} models, half of their nodes busy, exploration on. Medians over ${values.runs} runs of ${values.decisions} decisions.`,
    ],
  };
}

/** Microseconds of each decision, by run. */
function measured(fleet: readonly Candidate[], classifier: LexicalClassifier, runs: number, decisions: number): number[][] {
  const prompts = conversations();
  const locality = new Locality();
  const bandit = learnt(fleet, classifier, prompts);
  for (const { node, model } of fleet) {
    const held = prompts.filter((_, i) => (i + node.length) % 3 === 0).flatMap((one) => prefixesOf(one).map(({ hash }) => hash));
    locality.report(node, { model: model.name, hashes: held });
  }
  const knowledge: Knowledge = { beliefs: bandit, classifier, now: NOW };
  const one = (i: number) => {
    const messages = prompts[i % prompts.length] as readonly Message[];
    const startedAt = performance.now();
    const decision = decideAmong(fleet, askFor(messages, i, classifier, locality), knowledge);
    const took = (performance.now() - startedAt) * 1000;
    if (!decision.chosen && !decision.awaited) throw new Error(`nobody was chosen: ${decision.reason}`);
    return took;
  };
  for (let i = 0; i < WARM_UP; i++) one(i);
  return Array.from({ length: runs }, () => Array.from({ length: decisions }, (_, i) => one(i)));
}

function askFor(messages: readonly Message[], seed: number, classifier: LexicalClassifier, locality: Locality): Ask {
  const classification = classifier.classify({ messages });
  return {
    target: { type: 'auto' },
    classification,
    ...sizeOf(messages),
    expectedOutputTokens: classification.expectedOutputTokens,
    structured: false,
    remainingMs: 600_000,
    policy: DEFAULT_POLICY,
    mayExplore: true,
    seed,
    session: { node: 'node-0', model: 'model-1' },
    cachedTokens: locality.lookup(prefixesOf(messages)),
    tried: new Set(),
    crowded: new Set(),
  };
}

/** Single questions, and conversations of up to some thousand tokens. */
function conversations(): readonly (readonly Message[])[] {
  return MIXED_PROMPTS.map((text, i) => {
    const turns = i % 4 === 0 ? (i % 16) + 1 : 0;
    const before = MIXED_PROMPTS.slice(0, turns).flatMap((said): Message[] => [
      { role: Role.ROLE_USER, text: said },
      { role: Role.ROLE_ASSISTANT, text: `${said} `.repeat(8) },
    ]);
    return [...before, { role: Role.ROLE_USER, text }];
  });
}

/** Rates that fall with strength and differ from node to node; every fourth model is paid for by token. */
function fleetOf(nodes: number, random: Random): Candidate[] {
  return Array.from({ length: nodes * MODELS }, (_, i) => {
    const [node, model] = [Math.floor(i / MODELS), i % MODELS];
    const speed = 0.5 + random();
    const free = random() < 0.5 ? 0 : 1 + Math.floor(4 * random());
    const paid = model % 4 === 3;
    return {
      node: `node-${node}`,
      zone: `zone-${node % 3}`,
      state: NodeState.NODE_STATE_SERVING,
      returning: false,
      model: ServedModel.fromPartial({
        name: `model-${model}`,
        tier: [Tier.TIER_FAST, Tier.TIER_BALANCED, Tier.TIER_QUALITY, Tier.TIER_CLOUD][model % 4] as Tier,
        contextLength: 32_768,
        slots: 4,
        prefillTokensPerSecond: (speed * 3000) / (1 + model),
        decodeTokensPerSecond: (speed * 120) / (1 + model),
        watts: paid ? 0 : 60,
        ...(paid ? { price: Price.fromPartial({ inputUsdPerMillion: model, outputUsdPerMillion: 4 * model }) } : {}),
      }),
      freeSlots: free,
      running: 4 - free,
      queuedPromptTokens: Math.floor(random() * 400),
      expectedTokens: Math.floor(random() * 800),
      waiting: 0,
    };
  });
}

function learnt(fleet: readonly Candidate[], classifier: LexicalClassifier, prompts: readonly (readonly Message[])[]): Bandit {
  const bandit = new Bandit();
  const random = seeded(1);
  for (let i = 0; i < 2000; i++) {
    const { domain, complexity, task } = classifier.classify({ messages: prompts[i % prompts.length] as Message[] });
    const { name, tier } = (fleet[i % MODELS] as Candidate).model;
    bandit.served({ model: name, tier }, { domain, complexity, task }, NOW);
    bandit.learn({ model: name, tier }, { domain, complexity, task }, 0.6, random(), 1, NOW);
  }
  return bandit;
}
