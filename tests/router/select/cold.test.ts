/** Models that would have to be loaded, and nodes that are short of memory. */
import { describe, expect, it } from 'vitest';
import { Tier } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Ask, Candidate, Cold } from '../../../router/select/candidate.ts';
import { decide } from '../../../router/select/decide.ts';
import { estimate } from '../../../router/select/estimate.ts';
import { explanation } from '../../../router/select/explain.ts';
import { ask, candidate, knowledge } from './builders.ts';

const LOAD_MS = 8000;
const notLoaded = (more: Partial<Cold> = {}): Partial<Candidate> => ({
  cold: { readyMs: LOAD_MS, soonestMs: LOAD_MS, loading: false, refused: undefined, ...more },
  freeSlots: 0,
});
const full = (expectedTokens: number): Partial<Candidate> => ({ freeSlots: 0, running: 4, expectedTokens });
const decided = (candidates: Candidate[], wish: Ask = ask()) => decide(candidates, wish, knowledge());
const exclusionOf = (node: string, candidates: Candidate[], wish?: Ask) =>
  decided(candidates, wish).considered.find((one) => one.candidate.node === node)?.exclusion;

describe('a model that is not in memory', () => {
  const cold = candidate('cold', {}, notLoaded());

  it('is waited for where nobody else is there, at the price of its loading', () => {
    const { chosen, awaited, reason } = decided([cold]);
    expect(chosen).toBeUndefined();
    expect(awaited?.candidate.node).toBe('cold');
    expect(awaited?.estimate).toMatchObject({ waitMs: LOAD_MS, firstTokenMs: LOAD_MS + 100, totalMs: LOAD_MS + 100 + 5120 });
    expect(reason).toMatch(/^worth the wait: m on cold: .*13 s/);
  });

  it('is explained with its price', () => {
    const [first] = explanation(decided([cold])).candidates;
    expect(first).toMatchObject({
      exclusion: 'its model is not in memory: it could serve in about 8 s',
      expectedWaitMs: LOAD_MS,
    });
    const coming = candidate('coming', {}, notLoaded({ loading: true, readyMs: 400 }));
    expect(exclusionOf('coming', [coming])?.reason).toBe('its model is being loaded: it could serve within a second');
  });

  it('is not loaded while one that is in memory has a slot, however much better it is', () => {
    const better = candidate('better', { name: 'large', tier: Tier.TIER_QUALITY }, notLoaded());
    expect(decided([better, candidate('small', { name: 'small' })]).chosen?.candidate.node).toBe('small');
  });

  it('is loaded where the one in memory can not do what is asked', () => {
    const stories = candidate('stories', { name: 'stories', tasks: ['story'] });
    expect(decided([stories, cold]).awaited?.candidate.node).toBe('cold');
  });

  it('is loaded where the others are so busy that the answer is there in half the time', () => {
    const tokens = (seconds: number) => full(50 * seconds);
    expect(decided([cold, candidate('busy', {}, tokens(5))]).awaited?.candidate.node).toBe('busy');
    expect(decided([cold, candidate('busy', {}, tokens(60))]).awaited?.candidate.node).toBe('cold');
  });

  it('has nothing in a KV cache, and gives another chance to who failed there before it left memory', () => {
    const wish = ask({ tried: new Set(['cold']), cachedTokens: () => 90 });
    expect(decided([cold], wish).awaited).toMatchObject({ cachedTokens: 0, candidate: { node: 'cold' } });
  });

  it('may go on with an answer whose tokenizer it does not know yet, unlike one with another', () => {
    const resume = { model: 'm', tokenizerDigest: 'sha256:1' };
    const wish = ask({ resume, target: { type: 'model', name: 'm' } });
    const having = (tokenizerDigest: string, more = {}) => candidate('n', { tokenizerDigest, resumes: true }, more);
    expect(decided([having('', notLoaded())], wish).awaited?.candidate.node).toBe('n');
    expect(exclusionOf('n', [having('sha256:2', notLoaded())], wish)?.filter).toBe('resumable');
    expect(exclusionOf('n', [having('')], wish)?.filter).toBe('resumable');
  });

  it('makes those who find no slot when it is there wait for those before them', () => {
    const { slots } = cold.model;
    const of = (waiting: number) => estimate({ ...cold, waiting }, ask());
    expect(of(slots - 1)).toMatchObject({ waitMs: LOAD_MS, firstTokenMs: LOAD_MS + 100 * slots });
    expect(of(slots + 1).waitMs).toBe(LOAD_MS + 2 * 5220);
  });
});

describe('a node that is short of memory', () => {
  const short = candidate('short', {}, { short: 'others_first' });

  it('is spared while anybody else can serve, now or later', () => {
    expect(decided([short, candidate('other')]).chosen?.candidate.node).toBe('other');
    expect(decided([short, candidate('other', {}, full(10))]).awaited?.candidate.node).toBe('other');
    expect(exclusionOf('short', [short, candidate('other')])).toMatchObject({ filter: 'memory', busy: false });
  });

  it('serves where nobody else can', () => {
    expect(decided([short]).chosen?.candidate.node).toBe('short');
    const crowded = ask({ crowded: new Set(['other']) });
    expect(decided([short, candidate('n', { name: 'other' })], crowded).chosen?.candidate.node).toBe('short');
  });

  it('answers by its smaller model where that can, and by the larger one for who asks for it', () => {
    const on = (name: string, tier: Tier) => candidate('short', { name, tier }, { short: 'smaller_first' });
    const both = [on('large', Tier.TIER_QUALITY), on('small', Tier.TIER_FAST)];
    expect(decided(both).chosen?.candidate.model.name).toBe('small');
    expect(decided(both).considered[0]?.exclusion?.reason).toMatch(/smaller model there can answer/);
    const named = ask({ target: { type: 'model', name: 'large' } });
    expect(decided(both, named).chosen?.candidate.model.name).toBe('large');
    expect(decided(both.slice(0, 1)).chosen?.candidate.model.name).toBe('large');
  });
});
