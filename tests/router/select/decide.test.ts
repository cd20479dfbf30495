import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fault } from '../../../proto/contract/faults.ts';
import { NodeState, Price, Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Ask, Candidate, Decision } from '../../../router/select/candidate.ts';
import { decide } from '../../../router/select/decide.ts';
import { decisionMessage, explanation } from '../../../router/select/explain.ts';
import type { Limits, Policy } from '../../../router/select/policy.ts';
import { DEFAULT_POLICY } from '../../../router/select/policy.ts';
import { refusalFault } from '../../../router/select/refusal.ts';
import { couldServe } from '../../../router/select/worth.ts';
import { ask, beliefs, candidate, classification, knowledge } from './builders.ts';

const storyteller = { name: 'stories', tasks: ['story'] };
const decided = (candidates: Candidate[], wish: Ask, known = knowledge()) => decide(candidates, wish, known);
const chosen = (candidates: Candidate[], wish: Ask, known = knowledge()) =>
  decided(candidates, wish, known).chosen?.candidate.node;
const policy = (more: Partial<Policy>): Partial<Ask> => ({ policy: { ...DEFAULT_POLICY, ...more } });
const limits = (some: Limits) => policy({ limits: some });
const task = (name: 'story' | 'chat' | 'question') => ({ classification: classification({ task: name }) });
const COLD = { readyMs: 8000, soonestMs: 8000, loading: false, refused: undefined };
const pay = { price: Price.fromPartial({ outputUsdPerMillion: 1000 }) };

describe('a wait for a busy node, with a free one of its model at hand,', () => {
  const busy = (decodeTokensPerSecond: number) =>
    candidate('busy', { decodeTokensPerSecond, prefillTokensPerSecond: 1e6 }, { freeSlots: 0, running: 1, expectedTokens: 1 });

  it('is worth it where the answer is there in half the time', () => {
    const decision = decided([candidate('free', { decodeTokensPerSecond: 50 }), busy(1000)], ask());
    expect(decision.chosen).toBeUndefined();
    expect(decision.awaited?.candidate.node).toBe('busy');
  });

  it('is not where it is only a little sooner', () => {
    expect(chosen([candidate('free', { decodeTokensPerSecond: 50 }), busy(100)], ask())).toBe('free');
  });
});

describe('a model that makes vectors', () => {
  const vectors = candidate('vectors', { name: 'minilm', tasks: ['embed'], embeddingDimensions: 384 });
  const stories = candidate('tales', storyteller);
  const byTier = (tier: Tier) => ask({ target: { type: 'tier', tier } });
  const byName = (name: string) => ask({ target: { type: 'model', name } });

  it('is never chosen, however free it is and whoever else is there', () => {
    const away = candidate('chat', {}, { state: NodeState.NODE_STATE_RECOVERING, returning: true });
    expect(chosen([vectors, stories], ask())).toBe('tales');
    expect(chosen([vectors, candidate('busy', {}, { freeSlots: 0, running: 4 })], ask())).toBeUndefined();
    expect(chosen([vectors, away], ask())).toBeUndefined();
    expect(chosen([vectors, stories], byTier(Tier.TIER_FAST))).toBe('tales');
    expect(chosen([vectors], byName('minilm'))).toBeUndefined();
  });

  it('alone is as good as no model, unless it was asked for by name', () => {
    const refused = (wish: Ask) => refusalFault(decided([vectors], wish), wish);
    expect(refused(ask())).toMatchObject({ reason: 'NO_NODE', retryable: true });
    expect(refused(byTier(Tier.TIER_FAST))).toMatchObject({ reason: 'MODEL_NOT_FOUND' });
    expect(refused(byName('other'))).toMatchObject({ reason: 'MODEL_NOT_FOUND' });
    const answersNothing = 'its model makes vectors of texts and answers nothing';
    expect(refused(byName('minilm'))).toMatchObject({ reason: 'UNSUPPORTED', message: answersNothing });
    expect(decided([vectors], ask()).considered[0]?.exclusion?.reason).toBe(answersNothing);
  });
});

describe('a model that tells classes', () => {
  const classes = candidate('intents', { name: 'intents', tasks: ['classify'] });

  it('answers nobody who did not ask for it by name, not even where there is no other', () => {
    expect(chosen([classes], ask())).toBeUndefined();
    expect(chosen([classes], ask({ target: { type: 'tier', tier: Tier.TIER_FAST } }))).toBeUndefined();
    expect(chosen([classes, candidate('chat')], ask())).toBe('chat');
    expect(chosen([classes, candidate('chat')], ask({ target: { type: 'model', name: 'intents' } }))).toBe('intents');
    expect(decided([classes], ask()).considered[0]?.exclusion?.reason).toMatch(/^its model tells classes of texts/);
  });
});

describe('a choice among nodes with one model', () => {
  it('goes to the one that is done first', () => {
    expect(chosen([candidate('slow', { decodeTokensPerSecond: 10 }), candidate('fast')], ask())).toBe('fast');
    expect(chosen([candidate('busy', {}, { running: 3, freeSlots: 1 }), candidate('idle')], ask())).toBe('idle');
  });

  it('waits for one that is done sooner, busy as it is, and takes a free one that is', () => {
    const busy = candidate('gpu', { decodeTokensPerSecond: 500 }, { freeSlots: 0, running: 4, expectedTokens: 100 });
    const decision = decided([busy, candidate('cpu', { decodeTokensPerSecond: 5 })], ask());
    expect(decision).toMatchObject({ chosen: undefined, awaited: { candidate: { node: 'gpu' } } });
    expect(decision.reason).toMatch(/^worth the wait: m on gpu/);
    const overrun = { ...busy, expectedTokens: 100_000 };
    expect(decided([overrun, candidate('cpu', { decodeTokensPerSecond: 5 })], ask())).toMatchObject({
      chosen: { candidate: { node: 'cpu' } },
      awaited: undefined,
    });
  });

  it('reckons with those who stand in the line before', () => {
    const full = { freeSlots: 0, running: 4, expectedTokens: 256 };
    const all = [candidate('a', {}, { ...full, waiting: 3 }), candidate('b', {}, full)];
    expect(decided(all, ask()).awaited?.candidate.node).toBe('b');
  });

  it('goes where the beginning of the prompt is in the KV cache', () => {
    const cachedTokens = (node: string) => (node === 'b' ? 3000 : 0);
    const all = [candidate('a'), candidate('b'), candidate('c')];
    expect(chosen(all, ask({ promptTokens: 4000, cachedTokens }))).toBe('b');
    expect(decided(all, ask({ promptTokens: 4000, cachedTokens })).chosen?.cachedTokens).toBe(3000);
  });

  it('does not pile up where a hot beginning is cached', () => {
    const cachedTokens = (node: string) => (node === 'b' ? 900 : 0);
    const hot = ask({ promptTokens: 1000, expectedOutputTokens: 100, cachedTokens });
    const rates = { prefillTokensPerSecond: 100, decodeTokensPerSecond: 1000 };
    // The cap is 1.25 x the mean of the model's nodes + this request: 1.25 x 2,000 / 2 + 1,100.
    const loaded = (tokens: number) => [candidate('a', rates), candidate('b', rates, { expectedTokens: tokens })];
    const spread = (tokens: number) => decided([candidate('c', rates), ...loaded(tokens)], hot);
    expect(spread(1800).chosen).toMatchObject({ candidate: { node: 'b' }, cachedTokens: 900 });
    expect(spread(2400).chosen?.candidate.node).not.toBe('b');
    expect(spread(2400).considered.find((one) => one.candidate.node === 'b')?.cachedTokens).toBe(0);
  });

  it('among equals prefers where the conversation was, as long as that has a slot', () => {
    const all = ['a', 'b', 'c', 'd'].map((node) => candidate(node));
    const session = { node: 'c', model: 'm' };
    for (let seed = 0; seed < 20; seed++) expect(chosen(all, ask({ session, seed }))).toBe('c');
    const full = all.map((one) => (one.node === 'c' ? { ...one, freeSlots: 0, running: 4, expectedTokens: 500 } : one));
    expect(chosen(full, ask({ session }))).not.toBe('c');
  });

  it('spreads over equals by the seed, and leans to those with less to do', () => {
    const all = ['a', 'b', 'c', 'd'].map((node, i) => candidate(node, {}, { queuedPromptTokens: i === 0 ? 50 : 0 }));
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 4000; seed++) {
      const node = chosen(all, ask({ seed })) as string;
      counts.set(node, (counts.get(node) ?? 0) + 1);
    }
    // The one with more to do is taken only over itself, which is never drawn twice.
    expect(counts.get('a')).toBeUndefined();
    for (const node of ['b', 'c', 'd']) expect((counts.get(node) as number) / 4000).toBeCloseTo(1 / 3, 1);
  });
});

describe('what is out of the question', () => {
  it.each<[string, Candidate, Partial<Ask>, RegExp]>([
    ['target', candidate('n'), { target: { type: 'model', name: 'other' } }, /another model/],
    ['target', candidate('n'), { target: { type: 'tier', tier: Tier.TIER_QUALITY } }, /tier was asked for \(quality\)/],
    ['policy', candidate('n'), policy({ name: 'p', deny: ['m'] }), /policy p does not allow/],
    ['policy', candidate('n'), policy({ models: ['other'] }), /policy default does not allow/],
    ['zone', candidate('n', {}, { zone: 'us' }), policy({ zones: ['eu'] }), /its zone, us, may not/],
    ['zone', candidate('n'), policy({ zones: ['eu'] }), /in no zone/],
    ['structured', candidate('n'), { structured: true }, /JSON schema/],
    ['context', candidate('n', { contextLength: 50 }), {}, /at least 50 tokens, its context 50/],
    ['state', candidate('n', {}, { state: NodeState.NODE_STATE_DRAINING }), {}, /draining/],
    ['state', candidate('n', {}, { state: NodeState.NODE_STATE_DRAINING, alone: true }), {}, /^its model is draining$/],
    ['tried', candidate('n'), { tried: new Set(['n']) }, /has failed there/],
    ['load', candidate('n', {}, { cold: { ...COLD, refused: 'rests' } }), {}, /^its model is not in memory, and rests$/],
    [
      'deadline',
      candidate('n', {}, { cold: COLD }),
      { remainingMs: 5000 },
      /not in memory: its first token cannot come before 8100 ms/,
    ],
    ['deadline', candidate('n'), { remainingMs: 10 }, /cannot come before 100 ms, the deadline is in 10 ms/],
    ['cost', candidate('n', pay), limits({ maxCostUsd: 0.1 }), /would cost \$0\.26, the most allowed is \$0\.10/],
    ['latency', candidate('n'), limits({ maxLatencyMs: 5000 }), /would take 5220 ms, the most allowed is 5000 ms/],
    ['first_token', candidate('n'), limits({ maxFirstTokenMs: 99 }), /would take 100 ms, the most allowed is 99 ms/],
    ['quality', candidate('n'), limits({ minQuality: 0.6 }), /quality is 0\.500, the least allowed is 0\.6/],
    ['crowded', candidate('n'), { crowded: new Set(['m']) }, /too many requests wait/],
    ['slot', candidate('n', {}, { freeSlots: 0 }), {}, /all its slots/],
  ])('is left out by %s, with the reason', (filter, one, wish, reason) => {
    const { chosen, considered } = decided([one], ask(wish));
    expect(chosen).toBeUndefined();
    expect(considered[0]?.exclusion).toMatchObject({ filter, reason: expect.stringMatching(reason), busy: filter === 'slot' });
  });

  it('is told by the first rule that applies, before any figure where one of the first does', () => {
    const one = candidate('n', { contextLength: 50 }, { freeSlots: 0, zone: 'us' });
    const [considered] = decided([one], ask(policy({ zones: ['eu'], limits: { minQuality: 1 } }))).considered;
    expect(considered).toMatchObject({ exclusion: { filter: 'zone' }, judged: undefined });
  });
});

describe('a task that only some models can do', () => {
  const teller = candidate('teller', { ...storyteller, decodeTokensPerSecond: 800 });

  it('is not given to a storyteller while one that can chat could answer, now or later', () => {
    expect(chosen([teller, candidate('talker')], ask(task('chat')))).toBe('talker');
    expect(chosen([teller, candidate('talker')], ask(task('question')))).toBe('talker');
    const busy = decided([teller, candidate('talker', {}, { freeSlots: 0 })], ask());
    expect(busy.chosen).toBeUndefined();
    expect(busy.awaited?.candidate.node).toBe('talker');
  });

  it('lets the storyteller compete for stories, and a far better generalist win', () => {
    expect(chosen([teller, candidate('talker')], ask(task('story')))).toBe('teller');
    const master = candidate('master', { tier: Tier.TIER_CLOUD, decodeTokensPerSecond: 800 });
    const sure = knowledge({
      classifier: { ...knowledge().classifier, quality: (_, model) => (model === 'm' ? 0.99 : undefined) },
    });
    expect(chosen([candidate('teller', storyteller), master], ask(task('story')), sure)).toBe('master');
  });

  it('takes a model that lists chat among others for one that can be asked anything', () => {
    const both = candidate('both', { name: 'both', tasks: ['chat', 'story'] });
    expect(chosen([both, candidate('code', { name: 'code', tasks: ['code'] })], ask(task('question')))).toBe('both');
  });

  it('lets anyone try when nothing suited is there', () => {
    expect(chosen([teller], ask())).toBe('teller');
    const draining = candidate('talker', {}, { state: NodeState.NODE_STATE_DRAINING });
    expect(chosen([teller, draining], ask())).toBe('teller');
  });

  it('lets anyone try while the suited one loads for the first time', () => {
    const loading = candidate('talker', {}, { state: NodeState.NODE_STATE_LOADING });
    expect(chosen([teller, loading], ask())).toBe('teller');
  });

  it.each([NodeState.NODE_STATE_RECOVERING, NodeState.NODE_STATE_SUSPECT, NodeState.NODE_STATE_LOADING])(
    'is refused as retryable while the suited one is away for a moment (state %d)',
    (state) => {
      const away = candidate('talker', {}, { state, returning: true });
      const decision = decided([teller, away], ask());
      expect(decision.considered.filter(couldServe)).toEqual([]);
      expect(refusalFault(decision, ask())).toMatchObject({ reason: 'NO_NODE', retryable: true });
      // Another one as good makes no use of waiting.
      expect(chosen([candidate('other'), away], ask())).toBe('other');
    },
  );

  it('is refused rather than done badly when the suited one is crowded, or has failed the request', () => {
    const all = [teller, candidate('talker')];
    const crowded = ask({ crowded: new Set(['m']) });
    expect(refusalFault(decided(all, crowded), crowded)).toMatchObject({ reason: 'QUEUE_FULL', retryable: true });
    const tried = ask({ tried: new Set(['talker']) });
    expect(refusalFault(decided(all, tried), tried)).toMatchObject({ reason: 'NO_NODE', retryable: true });
  });

  it('is done by whoever was asked for by name, suited or not', () => {
    const all = [candidate('teller', storyteller), candidate('talker')];
    expect(chosen(all, ask({ target: { type: 'model', name: 'stories' } }))).toBe('teller');
  });
});

const small = { name: 'small', tier: Tier.TIER_FAST, watts: 60, decodeTokensPerSecond: 60 };
const large = { name: 'large', tier: Tier.TIER_QUALITY, watts: 60, decodeTokensPerSecond: 8, prefillTokensPerSecond: 100 };
const suffices = (fast: number, quality: number) => ({
  classification: classification({ suffices: { fast, balanced: fast, quality, cloud: quality } }),
});

describe('a choice among models', () => {
  const both = [candidate('a', small), candidate('b', large)];

  it('gives to the small one what it answers about as well, and to the large one what it does not', () => {
    expect(chosen(both, ask(suffices(0.9, 0.95)))).toBe('a');
    expect(chosen(both, ask(suffices(0.3, 0.85)))).toBe('b');
  });

  it('follows the preference', () => {
    const middling = suffices(0.6, 0.8);
    const only = (weights: Partial<Policy['preference']>) =>
      ask({ ...middling, ...policy({ preference: { cost: 0, quality: 0, latency: 0, diversity: 0, ...weights } }) });
    expect(chosen(both, only({ quality: 1 }))).toBe('b');
    expect(chosen(both, only({ cost: 1 }))).toBe('a');
    expect(chosen(both, only({ latency: 1 }))).toBe('a');
    const often = knowledge({ beliefs: beliefs(0, (model) => (model === 'small' ? 0.9 : 0.1)) });
    expect(chosen(both, only({ diversity: 1 }), often)).toBe('b');
  });

  it('keeps a conversation with its model unless another is nearer by more than the margin', () => {
    const near = ask(suffices(0.8, 0.82));
    expect(chosen(both, near)).toBe('a');
    const session = { node: 'b', model: 'large' };
    expect(chosen(both, { ...near, session, ...policy({ switchMargin: 0.9 }) } as Ask)).toBe('b');
    expect(chosen(both, { ...near, session, ...policy({ switchMargin: 0.01 }) } as Ask)).toBe('a');
  });

  it('explores by what is believed, as often as the propensity says, and not when it may not', () => {
    const unsure = knowledge({ beliefs: beliefs(0.15) });
    const near = suffices(0.7, 0.9);
    const draws = Array.from({ length: 2000 }, (_, seed) => decided(both, ask({ ...near, mayExplore: true, seed }), unsure));
    const [first] = draws as [Decision];
    const share = draws.filter(({ chosen }) => chosen?.candidate.node === 'b').length / draws.length;
    expect(share).toBeGreaterThan(0.05);
    expect(share).toBeLessThan(0.95);
    expect(first.propensities.get('large')).toBeCloseTo(share, 1);
    for (const one of draws) {
      expect(one.propensities).toEqual(first.propensities);
      expect(one.explored).toBe(one.chosen?.candidate.node !== 'a');
    }
    const never = ask({ ...near, mayExplore: true, ...policy({ exploration: 0 }) });
    for (const wish of [ask(near), never]) {
      expect(decided(both, wish, unsure)).toMatchObject({ explored: false, propensities: new Map([['small', 1]]) });
    }
  });

  it('says in a sentence who, why and what was expected', () => {
    const decision = decided([...both, candidate('c', {}, { state: NodeState.NODE_STATE_DRAINING })], ask(suffices(0.9, 0.95)));
    expect(decision.reason).toBe(
      'small on a: quality .9, $0.000020, 4.4 s; nearest to cost .25 quality .5 latency .2 diversity .05 among 2 on the front; 1 ruled out',
    );
    expect(decided([candidate('a', small)], ask()).reason).toMatch(/the only one left$/);
    expect(decided([], ask()).reason).toBe('no node serves any model');
  });
});

const fleet = fc.uniqueArray(
  fc.record({
    node: fc.constantFrom('a', 'b', 'c', 'd'),
    model: fc.constantFrom('m1', 'm2', 'm3', 'stories'),
    free: fc.integer({ min: 0, max: 4 }),
    running: fc.integer({ min: 0, max: 4 }),
    tokens: fc.constantFrom(0, 10, 2000),
    rate: fc.constantFrom(0, 5, 5.1, 50, 500),
    price: fc.constantFrom(0, 1, 30),
    state: fc.constantFrom(NodeState.NODE_STATE_SERVING, NodeState.NODE_STATE_SERVING, NodeState.NODE_STATE_DRAINING),
    context: fc.constantFrom(16, 4096, 4096),
    zone: fc.constantFrom('eu', 'us'),
    cold: fc.constantFrom(undefined, undefined, COLD, { ...COLD, refused: 'is not loaded now' }),
    short: fc.constantFrom(undefined, undefined, 'smaller_first' as const, 'others_first' as const),
  }),
  { maxLength: 12, selector: ({ node, model }) => `${node} ${model}` },
);
const built = fleet.map((all) =>
  all.map(({ node, model, free, running, tokens, rate, price, state, context, zone, cold, short }) =>
    candidate(
      node,
      {
        name: model,
        tier: model === 'm3' ? Tier.TIER_QUALITY : Tier.TIER_FAST,
        tasks: model === 'stories' ? ['story'] : [],
        decodeTokensPerSecond: rate,
        contextLength: context,
        watts: 50,
        price: Price.fromPartial({ outputUsdPerMillion: price }),
      },
      { freeSlots: cold ? 0 : free, running, expectedTokens: tokens, state, zone, cold, short },
    ),
  ),
);
const weight = fc.constantFrom(0, 0.1, 0.5, 1);
const wishes = fc
  .record({
    task: fc.constantFrom('chat' as const, 'story' as const, 'question' as const),
    preference: fc
      .record({ cost: weight, quality: weight, latency: weight, diversity: weight })
      .filter(({ cost, quality, latency, diversity }) => cost + quality + latency + diversity > 0),
    maxCostUsd: fc.constantFrom(undefined, 0.00005, 0.001),
    maxLatencyMs: fc.constantFrom(undefined, 1000, 60_000),
    maxFirstTokenMs: fc.constantFrom(undefined, 200),
    minQuality: fc.constantFrom(undefined, 0.4, 0.6),
    zones: fc.constantFrom<string[]>([], ['eu']),
    mayExplore: fc.boolean(),
    seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    session: fc.constantFrom(undefined, { node: 'a', model: 'm1' }),
  })
  .map(({ task, preference, maxCostUsd, maxLatencyMs, maxFirstTokenMs, minQuality, zones, mayExplore, seed, session }) => {
    const some = Object.entries({ maxCostUsd, maxLatencyMs, maxFirstTokenMs, minQuality }).filter(([, v]) => v !== undefined);
    return ask({
      classification: classification({ task }),
      ...policy({ preference, limits: Object.fromEntries(some), zones }),
      mayExplore,
      seed,
      ...(session ? { session } : {}),
    });
  });

describe('whatever the fleet and the request look like', () => {
  const known = knowledge({ beliefs: beliefs(0.1, (model) => (model === 'm1' ? 0.6 : 0.2)) });

  it('a decision lists every candidate once, and chooses or awaits one that is not ruled out', () => {
    fc.assert(
      fc.property(built, wishes, (all, wish) => {
        const decision = decide(all, wish, known);
        expect(decision.considered.map((one) => one.candidate)).toEqual(all);
        const open = decision.considered.filter(({ exclusion }) => exclusion === undefined);
        const { chosen, awaited, considered } = decision;
        expect([chosen, awaited].filter(Boolean)).toHaveLength(considered.some(couldServe) ? 1 : 0);
        if (chosen) expect(open).toContain(chosen);
        if (awaited) expect(awaited.exclusion?.busy).toBe(true);
        expect(decision.reason).not.toBe('');
        expect(decisionMessage(decision).excluded).toBe(all.length - open.length);
        const { candidates } = explanation(decision);
        expect(candidates.filter((one) => one.chosen)).toHaveLength(chosen ? 1 : 0);
        const best = chosen ?? awaited;
        if (best) expect(candidates[0]).toMatchObject({ node: best.candidate.node, model: best.candidate.model.name });
        else expect(refusalFault(decision, wish)).toBeInstanceOf(Fault);
      }),
      { numRuns: 500 },
    );
  });

  it('the choice is the same in any order, and once more', () => {
    fc.assert(
      fc.property(built, wishes, fc.infiniteStream(fc.nat()), (all, wish, order) => {
        const shuffled = all
          .map((one) => [order.next().value as number, one] as const)
          .toSorted(([a], [b]) => a - b)
          .map(([, one]) => one);
        const [first, second] = [decide(all, wish, known), decide(shuffled, wish, known)];
        expect(second.chosen?.candidate).toBe(first.chosen?.candidate);
        expect(second.awaited?.candidate).toBe(first.awaited?.candidate);
        expect(second.explored).toBe(first.explored);
        for (const [model, chance] of first.propensities) expect(second.propensities.get(model)).toBeCloseTo(chance, 9);
      }),
      { numRuns: 500 },
    );
  });

  it('no limit is crossed', () => {
    fc.assert(
      fc.property(built, wishes, (all, wish) => {
        const { chosen, awaited } = decide(all, wish, known);
        const best = chosen ?? awaited;
        if (!best) return;
        const { limits, zones } = wish.policy;
        const { judged, estimate, candidate } = best;
        expect(judged?.costUsd).toBeLessThanOrEqual(limits.maxCostUsd ?? Number.POSITIVE_INFINITY);
        expect(estimate.totalMs).toBeLessThanOrEqual(limits.maxLatencyMs ?? Number.POSITIVE_INFINITY);
        expect(judged?.latencyMs).toBeLessThanOrEqual(limits.maxLatencyMs ?? Number.POSITIVE_INFINITY);
        expect(estimate.firstTokenMs).toBeLessThanOrEqual(limits.maxFirstTokenMs ?? Number.POSITIVE_INFINITY);
        expect(judged?.quality.mean).toBeGreaterThanOrEqual(limits.minQuality ?? 0);
        if (zones.length > 0) expect(zones).toContain(candidate.zone);
      }),
      { numRuns: 1000 },
    );
  });

  it('propensities sum to 1, and what was drawn had one', () => {
    fc.assert(
      fc.property(built, wishes, (all, wish) => {
        const { chosen, awaited, propensities } = decide(all, wish, known);
        const best = chosen ?? awaited;
        if (!best) {
          expect(propensities.size).toBe(0);
          return;
        }
        expect([...propensities.values()].reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 6);
        expect(best.standing?.propensity).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});
