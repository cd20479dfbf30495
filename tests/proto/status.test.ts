import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Reason } from '../../proto/contract/faults.ts';
import { Code, Fault, invalid, REASONS, toFault } from '../../proto/contract/faults.ts';
import { ERROR_DOMAIN, faultNamed, faultOf, MAX_DETAILS_BYTES, statusOf } from '../../proto/contract/status.ts';
import { ErrorInfo } from '../../proto/gen/google/rpc/error_details.ts';
import { Status } from '../../proto/gen/google/rpc/status.ts';

const reasons = Object.keys(REASONS) as Reason[];
/** Any UTF-16 at all, lone surrogates too, and now and then very long. */
const hostile = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('\ud83d', 'x'.repeat(100_000), '🐉'.repeat(50_000), '\u0000\r\n%', `${'é'.repeat(511)}\ud800`),
);
const back = (fault: Fault) => {
  const { code, message, details } = statusOf(fault);
  return faultOf(code, message, details);
};

describe('a fault on the wire', () => {
  it.each(reasons)('keeps its reason and code: %s', (reason) => {
    const there = back(new Fault(reason, 'what happened', { retryAfterMs: 1234.5, facts: { node: 'n' } }));
    expect(there).toMatchObject({ reason, code: REASONS[reason].code, message: 'what happened', retryAfterMs: 1234.5 });
    expect(there.facts).toEqual({ node: 'n' });
  });

  it('names infermesh as the domain, so that reasons of others are not taken for ours', () => {
    const { details } = Status.decode(statusOf(new Fault('FENCED', 'x')).details);
    expect(ErrorInfo.decode(details[0]!.value)).toMatchObject({ reason: 'FENCED', domain: ERROR_DOMAIN });
    const value = Buffer.from(ErrorInfo.encode({ reason: 'FENCED', domain: 'example.com', metadata: {} }).finish());
    const foreign = { code: 14, message: '', details: [{ typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value }] };
    expect(faultOf(14, 'x', Status.encode(foreign).finish()).reason).toBe('UNREACHABLE');
  });

  it('is well formed and within 4 KiB, whatever texts it was made of', () => {
    const violation = fc.record({ field: hostile, description: hostile });
    const facts = fc.dictionary(hostile, hostile, { maxKeys: 20 });
    fc.assert(
      fc.property(
        fc.constantFrom(...reasons),
        hostile,
        fc.array(violation, { maxLength: 100 }),
        facts,
        (reason, text, violations, facts) => {
          const { message, details } = statusOf(new Fault(reason, text, { violations, facts }));
          expect(message.isWellFormed()).toBe(true);
          expect(message.length).toBeLessThanOrEqual(512);
          expect(details.length).toBeLessThanOrEqual(MAX_DETAILS_BYTES);
          // What cannot be put into a header throws here.
          expect(() => encodeURI(message)).not.toThrow();
          expect(faultOf(REASONS[reason].code, message, details).reason).toBe(reason);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('keeps as many violations as there is room for, the first ones', () => {
    const violations = Array.from({ length: 50 }, (_, i) => ({ field: `labels[${i}]`, description: 'x'.repeat(200) }));
    const { violations: kept } = back(invalid(violations));
    expect(kept.length).toBeGreaterThan(4);
    expect(kept).toEqual(violations.slice(0, kept.length));
  });
});

describe('a status that is not ours', () => {
  it('is told by its code, for every code there is and any other', () => {
    for (const code of [...Object.values(Code), 17, 99, -1, 2 ** 31]) {
      const fault = faultOf(code, 'x');
      expect(reasons).toContain(fault.reason);
    }
    expect(faultOf(Code.UNAVAILABLE, 'x')).toMatchObject({ reason: 'UNREACHABLE', retryable: true });
  });

  it('with details that nobody can read is told by its code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(reasons).toContain(faultOf(Code.UNAVAILABLE, 'x', bytes).reason);
      }),
    );
  });

  it('of a node is taken by its reason where we know it', () => {
    const named = (reason: string, code: number) => faultNamed({ reason, code, message: 'x', retryAfterMs: 0 }).reason;
    expect(named('CONTEXT_TOO_LONG', 0)).toBe('CONTEXT_TOO_LONG');
    for (const name of ['toString', '__proto__', '', 'constructor']) expect(named(name, 5)).toBe('MODEL_NOT_FOUND');
  });

  it('of a node says when to try again where that could help, and within ten minutes', () => {
    const retry = (reason: string, retryAfterMs: number) =>
      faultNamed({ reason, code: 8, message: 'x', retryAfterMs }).retryAfterMs;
    expect(retry('QUEUE_FULL', 1500)).toBe(1500);
    expect(retry('QUEUE_FULL', 0)).toBeUndefined();
    expect(retry('QUEUE_FULL', 2 ** 32 - 1)).toBe(600_000);
    expect(retry('CONTEXT_TOO_LONG', 1500)).toBeUndefined();
  });
});

describe('something thrown', () => {
  it('becomes a fault that quotes nothing of it', () => {
    for (const thrown of [new Error('secret'), 'secret', { secret: 1 }, null, undefined, new RangeError('secret')]) {
      const fault = toFault(thrown);
      expect(fault.reason).toBe('INTERNAL');
      expect(fault.message).not.toContain('secret');
    }
    expect(toFault(new DOMException('x', 'AbortError')).reason).toBe('CANCELLED');
    const own = new Fault('NO_NODE', 'x');
    expect(toFault(own)).toBe(own);
  });
});
