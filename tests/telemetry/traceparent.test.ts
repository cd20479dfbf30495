import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatTraceparent, parseTraceparent } from '../../telemetry/traceparent.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((text) => !/^0+$/.test(text));

describe('a W3C traceparent', () => {
  it('comes out as it went in', () => {
    fc.assert(
      fc.property(hex(32), hex(16), fc.integer({ min: 0, max: 255 }), (trace, span, flags) => {
        const text = `00-${trace}-${span}-${flags.toString(16).padStart(2, '0')}`;
        const context = parseTraceparent(text);
        expect(context).toMatchObject({ traceId: trace, spanId: span, traceFlags: flags, isRemote: true });
        expect(context && formatTraceparent(context)).toBe(text);
      }),
    );
  });

  it('of a later version is read for what version 00 knows', () => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-comes-later`)).toMatchObject({ traceId: TRACE, spanId: SPAN });
  });

  it.each([
    ['absent', undefined],
    ['empty', ''],
    ['the forbidden version', `ff-${TRACE}-${SPAN}-01`],
    ['version 00 with more than it has', `00-${TRACE}-${SPAN}-01-more`],
    ['a trace id of zeroes', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span id of zeroes', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['a short trace id', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['a line feed at the end', `00-${TRACE}-${SPAN}-01\n`],
    ['words', 'tell me a story'],
  ])('that is %s is ignored', (_what, text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  it('of a span that nobody records is empty', () => {
    expect(formatTraceparent({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 })).toBe('');
  });
});
