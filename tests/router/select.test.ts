import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fault } from '../../proto/contract/faults.ts';
import { NodeState, ServedModel, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { Ask, Candidate } from '../../router/select/candidate.ts';
import { couldServe, decide } from '../../router/select/decide.ts';
import { estimate } from '../../router/select/estimate.ts';
import { decisionMessage, explanation } from '../../router/select/explain.ts';
import { refusalFault } from '../../router/select/refusal.ts';
import { best, suitability } from '../../router/select/suitability.ts';

function candidate(node: string, model: Partial<ServedModel> = {}, more: Partial<Candidate> = {}): Candidate {
  const rates = { prefillTokensPerSecond: 1000, decodeTokensPerSecond: 50 };
  return {
    node,
    state: NodeState.NODE_STATE_SERVING,
    returning: false,
    model: ServedModel.fromPartial({ name: 'm', tier: Tier.TIER_FAST, slots: 4, contextLength: 4096, ...rates, ...model }),
    freeSlots: 4,
    running: 0,
    queuedPromptTokens: 0,
    expectedTokens: 0,
    ...more,
  };
}

const ask = (more: Partial<Ask> = {}): Ask => ({
  target: { type: 'auto' },
  task: 'chat',
  promptBytes: 400,
  promptTokens: 100,
  expectedOutputTokens: 256,
  structured: false,
  remainingMs: 120_000,
  ...more,
});

const storyteller = { name: 'stories', tasks: ['story'] };
const chosen = (candidates: Candidate[], wish: Ask) => decide(candidates, wish).chosen?.candidate.node;

describe('a choice among nodes', () => {
  it('goes to the one that is done first', () => {
    expect(chosen([candidate('slow', { decodeTokensPerSecond: 10 }), candidate('fast')], ask())).toBe('fast');
    expect(chosen([candidate('busy', {}, { running: 3, freeSlots: 1 }), candidate('idle')], ask())).toBe('idle');
  });

  it('is the same whatever order they stand in', () => {
    const all = ['c', 'a', 'b'].map((node) => candidate(node));
    expect(chosen(all, ask())).toBe('a');
    expect(chosen(all.toReversed(), ask())).toBe('a');
  });

  it.each<[string, Candidate, Partial<Ask>, RegExp]>([
    ['target', candidate('n'), { target: { type: 'model', name: 'other' } }, /another model/],
    ['target', candidate('n'), { target: { type: 'tier', tier: Tier.TIER_QUALITY } }, /tier was asked for \(quality\)/],
    ['structured', candidate('n'), { structured: true }, /JSON schema/],
    ['context', candidate('n', { contextLength: 50 }), {}, /at least 50 tokens, its context 50/],
    ['state', candidate('n', {}, { state: NodeState.NODE_STATE_DRAINING }), {}, /draining/],
    ['deadline', candidate('n'), { remainingMs: 10 }, /cannot come before 100 ms, the deadline is in 10 ms/],
    ['slot', candidate('n', {}, { freeSlots: 0 }), {}, /all its slots/],
  ])('leaves out by %s', (filter, one, wish, reason) => {
    const { chosen, considered } = decide([one], ask(wish));
    expect(chosen).toBeUndefined();
    expect(considered[0]?.exclusion).toMatchObject({ filter, reason: expect.stringMatching(reason), busy: filter === 'slot' });
  });

  it('gives a story to the storyteller and a question to the one that can chat', () => {
    const all = [candidate('teller', { ...storyteller, decodeTokensPerSecond: 800 }), candidate('talker')];
    expect(chosen(all, ask({ task: 'story' }))).toBe('teller');
    expect(chosen(all, ask({ task: 'chat' }))).toBe('talker');
  });

  it('lets chat wait for the model that can chat rather than go to the storyteller', () => {
    const decision = decide([candidate('teller', storyteller), candidate('talker', {}, { freeSlots: 0 })], ask());
    expect(decision.chosen).toBeUndefined();
    expect(decision.considered.filter(couldServe).map(({ candidate: { node } }) => node)).toEqual(['talker']);
  });

  it('lets anyone try when nothing suited is there', () => {
    expect(chosen([candidate('teller', storyteller)], ask())).toBe('teller');
    const draining = candidate('talker', {}, { state: NodeState.NODE_STATE_DRAINING });
    expect(chosen([candidate('teller', storyteller), draining], ask())).toBe('teller');
  });

  it('lets anyone try while the suited one loads for the first time', () => {
    const loading = candidate('talker', {}, { state: NodeState.NODE_STATE_LOADING });
    expect(chosen([candidate('teller', storyteller), loading], ask())).toBe('teller');
  });

  it.each([NodeState.NODE_STATE_RECOVERING, NodeState.NODE_STATE_SUSPECT, NodeState.NODE_STATE_LOADING])(
    'refuses as retryable while the suited one is away for a moment (state %d)',
    (state) => {
      const away = candidate('talker', {}, { state, returning: true });
      const decision = decide([candidate('teller', storyteller), away], ask());
      expect(decision.considered.filter(couldServe)).toEqual([]);
      expect(refusalFault(decision, ask())).toMatchObject({ reason: 'NO_NODE', retryable: true });
      // Another one as good makes no use of waiting.
      expect(chosen([candidate('other'), away], ask())).toBe('other');
    },
  );

  it('does what was asked for by name, suited or not', () => {
    const all = [candidate('teller', storyteller), candidate('talker')];
    expect(chosen(all, ask({ target: { type: 'model', name: 'stories' } }))).toBe('teller');
  });
});

const candidates = fc.array(
  fc.record({
    node: fc.string({ minLength: 1, maxLength: 3 }),
    free: fc.integer({ min: 0, max: 4 }),
    rate: fc.integer({ min: 0, max: 100 }),
    state: fc.constantFrom(NodeState.NODE_STATE_SERVING, NodeState.NODE_STATE_DRAINING, NodeState.NODE_STATE_LOADING),
    tasks: fc.constantFrom<string[]>([], ['story'], ['chat', 'story']),
    context: fc.constantFrom(16, 4096),
  }),
  { maxLength: 8 },
);

describe('whatever the fleet looks like', () => {
  it('a decision lists every candidate once, chosen first, and chooses no one who is ruled out', () => {
    fc.assert(
      fc.property(candidates, fc.constantFrom('chat' as const, 'story' as const), (fleet, task) => {
        const all = fleet.map(({ node, free, rate, state, tasks, context }) =>
          candidate(node, { decodeTokensPerSecond: rate, tasks, contextLength: context }, { freeSlots: free, state }),
        );
        const decision = decide(all, ask({ task }));
        expect(new Set(decision.considered.map((one) => one.candidate))).toEqual(new Set(all));
        const open = decision.considered.filter(({ exclusion }) => exclusion === undefined);
        expect(decision.chosen).toBe(open[0]);
        if (open[0]) expect(decision.considered[0]).toBe(open[0]);
        for (const one of open) expect(one.candidate.freeSlots).toBeGreaterThan(0);
        for (const one of open) expect(open[0]!.estimate.totalMs).toBeLessThanOrEqual(one.estimate.totalMs);
        expect(decision.reason).not.toBe('');
        expect(decisionMessage(decision).excluded).toBe(all.length - open.length);
        expect(explanation(decision).candidates.filter((one) => one.chosen)).toHaveLength(open.length > 0 ? 1 : 0);
        // Somebody to wait for, or a clear refusal.
        if (!decision.chosen && !decision.considered.some(couldServe)) {
          expect(refusalFault(decision, ask({ task }))).toBeInstanceOf(Fault);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a refusal', () => {
  it.each<[string, Candidate[], Partial<Ask>]>([
    ['NO_NODE', [], {}],
    ['MODEL_NOT_FOUND', [], { target: { type: 'model', name: 'x' } }],
    ['MODEL_NOT_FOUND', [candidate('n')], { target: { type: 'tier', tier: Tier.TIER_CLOUD } }],
    ['UNSUPPORTED', [candidate('n')], { structured: true }],
    ['CONTEXT_TOO_LONG', [candidate('n', { contextLength: 8 })], {}],
    ['NO_NODE', [candidate('n', {}, { state: NodeState.NODE_STATE_LOADING })], {}],
    ['DEADLINE_EXCEEDED', [candidate('n')], { remainingMs: 1 }],
    // The one that came furthest tells what is in the way.
    ['NO_NODE', [candidate('a', { contextLength: 8 }), candidate('b', {}, { state: NodeState.NODE_STATE_RECOVERING })], {}],
  ])('is %s', (reason, all, wish) => {
    const wanted = ask(wish);
    expect(refusalFault(decide(all, wanted), wanted).reason).toBe(reason);
  });
});

describe('an estimate', () => {
  it('is prompt over prefill and answer over decode', () => {
    expect(estimate(candidate('n'), ask())).toEqual({ waitMs: 0, firstTokenMs: 100, totalMs: 100 + 5120, soonestMs: 100 });
  });

  it.each([1, 4])('waits for what is outstanding, by tokens, however many slots share the engine (%i)', (slots) => {
    const full = candidate('n', { slots }, { freeSlots: 0, running: slots, queuedPromptTokens: 500, expectedTokens: 400 });
    expect(estimate(full, ask()).waitMs).toBe(500 + 8000);
  });

  it('refuses nobody whom an engine could serve in time that is as fast with all its slots', () => {
    const full = candidate('n', { slots: 100 }, { freeSlots: 0, running: 100, expectedTokens: 25_600 });
    expect(estimate(full, ask()).waitMs).toBe(512_000);
    expect(decide([full], ask({ remainingMs: 6000 })).considered.some(couldServe)).toBe(true);
    expect(decide([full], ask({ remainingMs: 5000 })).considered.some(couldServe)).toBe(false);
  });

  it('waits for nothing while a slot is free', () => {
    expect(estimate(candidate('n', {}, { queuedPromptTokens: 500, expectedTokens: 400 }), ask()).waitMs).toBe(0);
  });

  it('is finite for a node that has measured nothing', () => {
    const { totalMs } = estimate(candidate('n', { prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 }), ask());
    expect(Number.isFinite(totalMs) && totalMs > 0).toBe(true);
  });

  it('grows with company, prompt and answer', () => {
    const n = fc.integer({ min: 0, max: 10_000 });
    fc.assert(
      fc.property(n, n, n, (running, promptTokens, expectedOutputTokens) => {
        const base = estimate(candidate('n', {}, { running }), ask({ promptTokens, expectedOutputTokens })).totalMs;
        const more = ask({ promptTokens: promptTokens + 1, expectedOutputTokens: expectedOutputTokens + 1 });
        expect(estimate(candidate('n', {}, { running: running + 1 }), more).totalMs).toBeGreaterThan(base);
      }),
    );
  });
});

describe('suitability', () => {
  it('knows specialists, generalists and the unsuited', () => {
    expect(suitability(['story'], 'story')).toBe('specialist');
    expect(suitability(['chat', 'story'], 'story')).toBe('generalist');
    expect(suitability([], 'story')).toBe('generalist');
    expect(suitability(['story'], 'chat')).toBe('unsuited');
    expect(best(['unsuited', 'generalist', 'unsuited'])).toBe('generalist');
    expect(best([])).toBeUndefined();
  });
});
