import { describe, expect, it } from 'vitest';
import {
  bytesOfEvidence,
  checkDeleteEvidence,
  checkGetEvidence,
  checkPutEvidence,
  MAX_EVIDENCE_BYTES,
} from '../../proto/contract/evidence.ts';
import type { Fault } from '../../proto/contract/faults.ts';
import { GetEvidenceRequest, PutEvidenceRequest } from '../../proto/gen/infermesh/v1/cache.ts';

type Partly = Parameters<typeof PutEvidenceRequest.fromPartial>[0];
const chunks = (count: number, text = '') => ({ evidence: { chunks: Array.from({ length: count }, () => ({ text })) } });
const put = (more: Partly) => PutEvidenceRequest.fromPartial({ key: 'k', ...chunks(1, 'x'), ...more });
const metadata = (entries: [string, string][]) => ({ evidence: { chunks: [{ metadata: Object.fromEntries(entries) }] } });

function refused(check: () => unknown): Fault {
  try {
    check();
  } catch (fault) {
    return fault as Fault;
  }
  throw new Error('it was accepted');
}

describe('evidence within its bounds is taken as it is', () => {
  it.each<[string, Partly]>([
    ['with the longest key', { key: 'é'.repeat(512) }],
    ['for a second', { ttlSeconds: 1 }],
    ['for a day', { ttlSeconds: 86_400 }],
    ['of 1,024 chunks', chunks(1024)],
    ['of all the bytes it may have', chunks(1024, 'x'.repeat(1024))],
    ['with any finite score', { evidence: { chunks: [{ score: -1e300 }, { score: 0 }] } }],
    ['with the longest source', { evidence: { chunks: [{ source: 'x'.repeat(1024) }] } }],
    ['with 64 pairs', metadata(Array.from({ length: 64 }, (_, index) => [`${index}`, 'x'.repeat(1024)]))],
    [
      'with names that objects have of themselves',
      metadata([
        ['constructor', 'x'],
        ['toString', 'y'],
      ]),
    ],
  ])('%s', (_name, more) => {
    expect(checkPutEvidence(put(more))).toEqual(put(more));
  });
});

describe('evidence out of its bounds is refused by field, bound and what came', () => {
  const canary = 'canary-91c2';

  it.each<[string, Partly, RegExp]>([
    ['key', { key: '' }, /1 to 1,024 bytes, received an empty string/],
    ['key', { key: canary.repeat(94) }, /1 to 1,024 bytes, received 1,034 bytes/],
    ['key', { key: `${canary}\ud800` }, /well-formed Unicode/],
    ['ttl_seconds', { ttlSeconds: 86_401 }, /from 1 to 86400, received 86401/],
    ['evidence.chunks', { evidence: { chunks: [] } }, /1 to 1,024, received 0/],
    ['evidence.chunks', chunks(1025), /1 to 1,024, received 1,025/],
    [
      'evidence.chunks',
      chunks(1, 'x'.repeat(MAX_EVIDENCE_BYTES + 1)),
      /at most 1,048,576 bytes together, received 1 with 1,048,577 bytes/,
    ],
    [
      'evidence.chunks[0].score',
      { evidence: { chunks: [{ score: Number.POSITIVE_INFINITY }] } },
      /finite number, received Infinity/,
    ],
    [
      'evidence.chunks[0].source',
      { evidence: { chunks: [{ source: 'x'.repeat(1025) }] } },
      /0 to 1,024 bytes, received 1,025 bytes/,
    ],
    ['evidence.chunks[0].metadata', metadata([[canary.repeat(6), '']]), /names of 1 to 64 bytes, received 1 entries/],
    ['evidence.chunks[0].metadata', metadata([['n', canary.repeat(94)]]), /values of up to 1,024 bytes/],
    [
      'evidence.chunks[0].metadata',
      metadata(Array.from({ length: 65 }, (_, index) => [`${index}`, ''])),
      /at most 64, received 65/,
    ],
  ])('%s', (field, more, description) => {
    const { reason, violations, message } = refused(() => checkPutEvidence(put(more)));
    expect(reason).toBe('INVALID_REQUEST');
    expect(violations).toEqual([{ field, description: expect.stringMatching(description) }]);
    expect(message).not.toContain(canary);
  });

  it('counts texts, sources and metadata together', () => {
    const one = { text: 'é', source: 'ab', score: 1, metadata: { é: 'abc' } };
    expect(bytesOfEvidence({ chunks: [one, one] })).toBe(18);
    const half = 'x'.repeat(MAX_EVIDENCE_BYTES / 1024 - 1);
    expect(() => checkPutEvidence(put({ evidence: { chunks: Array(1024).fill({ text: half, source: 'xx' }) } }))).toThrow();
  });
});

describe('keys that are asked for', () => {
  it('are 1 to 64, each within its bounds', () => {
    const keys = (count: number, key = 'k') => GetEvidenceRequest.fromPartial({ keys: Array<string>(count).fill(key) });
    expect(checkGetEvidence(keys(64)).keys).toHaveLength(64);
    expect(refused(() => checkGetEvidence(keys(65))).violations).toMatchObject([{ field: 'keys' }]);
    expect(refused(() => checkGetEvidence(keys(0))).violations).toMatchObject([{ field: 'keys' }]);
    expect(refused(() => checkGetEvidence(keys(2, ''))).violations).toMatchObject([{ field: 'keys[0]' }, { field: 'keys[1]' }]);
    expect(refused(() => checkDeleteEvidence({ key: '' })).violations).toMatchObject([{ field: 'key' }]);
  });
});
