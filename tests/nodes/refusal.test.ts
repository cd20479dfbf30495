import { describe, expect, it } from 'vitest';
import { queueOf, refusalOf } from '../../nodes/refusal.ts';
import { Work } from '../../proto/gen/infermesh/v1/link.ts';
import { servedModel } from './fakes.ts';

const MODEL = servedModel({
  slots: 8,
  resumes: true,
  resumesStructured: true,
  structuredOutput: true,
  tokenizerDigest: 'sha256:ab',
});
const DELIVERED = { model: 'm', tokenizerDigest: 'sha256:ab', tokens: 2, text: 'hi', tokenIds: [4, 5] };
const standing = { draining: false, model: MODEL, resident: true, sheds: false, taken: 0 };
const work = (more: Partial<Work> = {}) => Work.fromPartial({ request: 1, model: 'm', ...more });

describe('a node', () => {
  it('takes a request that it can serve, and one that goes on with an answer', () => {
    expect(refusalOf(work(), standing)).toBeUndefined();
    expect(refusalOf(work({ delivered: DELIVERED }), standing)).toBeUndefined();
    expect(refusalOf(work({ delivered: { ...DELIVERED, tokenIds: [] }, jsonSchema: '{}' }), standing)).toBeUndefined();
  });

  it('refuses everything while it leaves', () => {
    expect(refusalOf(work(), { ...standing, draining: true })).toMatchObject({ reason: 'DRAINING' });
  });

  it('refuses a model that it does not know, and one that is not in memory, to be tried elsewhere', () => {
    expect(refusalOf(work({ model: 'other' }), { ...standing, model: undefined })).toMatchObject({ reason: 'MODEL_NOT_FOUND' });
    expect(refusalOf(work(), { ...standing, resident: false })).toMatchObject({ reason: 'DRAINING', retryable: true });
  });

  it('refuses what is new while memory is too short, to be tried elsewhere', () => {
    expect(refusalOf(work(), { ...standing, sheds: true })).toMatchObject({ reason: 'NO_ROOM', retryable: true });
  });

  it('lets a few wait for its slots, and refuses the next to be tried elsewhere', () => {
    expect(refusalOf(work(), { ...standing, taken: 9 })).toBeUndefined();
    const refusal = refusalOf(work(), { ...standing, taken: 10 });
    expect(refusal).toMatchObject({ reason: 'QUEUE_FULL', retryable: true, message: expect.stringMatching(/8 slots.* 10 /) });
    expect([1, 4, 5, 100].map(queueOf)).toEqual([1, 1, 2, 25]);
  });

  it.each([
    ['of another tokenizer', { delivered: { ...DELIVERED, tokenizerDigest: 'sha256:cd' } }, {}, 'STREAM_NOT_RESUMABLE'],
    ['for an engine that cannot', { delivered: DELIVERED }, { resumes: false }, 'STREAM_NOT_RESUMABLE'],
    [
      'under a schema, for an engine that cannot',
      { delivered: DELIVERED, jsonSchema: '{}' },
      { resumesStructured: false },
      'STREAM_NOT_RESUMABLE',
    ],
    ['with some of its token ids', { delivered: { ...DELIVERED, tokenIds: [4] } }, {}, 'INVALID_REQUEST'],
  ] as const)('refuses to go on with an answer %s', (_, more, model, reason) => {
    const refusal = refusalOf(work(more as Partial<Work>), { ...standing, model: { ...MODEL, ...model } });
    expect(refusal).toMatchObject({ reason });
  });

  it('holds an answer of which nothing was delivered for a new one', () => {
    const nothing = { ...DELIVERED, tokens: 0, text: '', tokenIds: [], tokenizerDigest: 'sha256:cd' };
    expect(refusalOf(work({ delivered: nothing }), standing)).toBeUndefined();
  });
});
