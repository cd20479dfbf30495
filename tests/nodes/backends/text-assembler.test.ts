import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Piece } from '../../../nodes/backends/text-assembler.ts';
import { CharacterAssembler, StopFilter, TextAssembler } from '../../../nodes/backends/text-assembler.ts';

/** A tokenizer whose token is one to three bytes, so that tokens end inside characters. */
function tokenizer(bytes: Uint8Array, cuts: readonly number[]) {
  const tokens: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = cuts[turn % cuts.length]!;
    tokens.push(bytes.subarray(at, at + length));
    at += length;
  }
  const detokenize = (ids: readonly number[]) => Buffer.concat(ids.map((id) => tokens[id]!)).toString('utf8');
  return { ids: tokens.keys(), count: tokens.length, detokenize };
}

const texts = fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.toWellFormed().replaceAll('\ufffd', '?'));
const cuts = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 });
/** Few letters, so that stop strings come up, overlap and almost come up. */
const letters = fc.string({ unit: fc.constantFrom('a', 'b', '🐉'), maxLength: 30 });
const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '🐉'), minLength: 1, maxLength: 4 }), { maxLength: 3 });

/** What an endless memory would do: look after each character whether some stop string is complete. */
function expected(text: string, stopStrings: readonly string[]) {
  for (let end = 1; end <= text.length; end++) {
    const starts = stopStrings.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => end - stop.length);
    if (starts.length > 0) return { text: text.slice(0, Math.min(...starts)), stopped: true };
  }
  return { text, stopped: false };
}

function assemble(text: string, widths: readonly number[], stopStrings: readonly string[]) {
  const { ids, count, detokenize } = tokenizer(Buffer.from(text), widths);
  const assembler = new TextAssembler(detokenize, stopStrings);
  const pieces: Piece[] = [];
  let used = 0;
  for (const id of ids) {
    used++;
    const piece = assembler.push(id);
    if (piece) pieces.push(piece);
    if (assembler.matched !== undefined) return { pieces, used, count, stopped: true };
  }
  pieces.push(...assembler.flush());
  return { pieces, used, count, stopped: assembler.matched !== undefined };
}

describe('text assembler', () => {
  test('gives back every text, however tokens cut its characters', () => {
    fc.assert(
      fc.property(texts, cuts, (text, widths) => {
        const { pieces } = assemble(text, widths, []);
        expect(pieces.map((piece) => piece.text).join('')).toBe(text);
        for (const piece of pieces) expect(piece.text).not.toContain('\ufffd');
      }),
    );
  });

  test('gives the text before the stop string that is complete first, wherever tokens break', () => {
    fc.assert(
      fc.property(letters, cuts, stops, (text, widths, stopStrings) => {
        const { pieces, stopped } = assemble(text, widths, stopStrings);
        const want = expected(text, stopStrings);
        expect({ text: pieces.map((piece) => piece.text).join(''), stopped }).toEqual(want);
      }),
      { numRuns: 2000 },
    );
  });

  test('numbers its pieces without a gap and accounts for every token of an answer that ends by itself', () => {
    fc.assert(
      fc.property(letters, cuts, stops, (text, widths, stopStrings) => {
        const { pieces, stopped, count, used } = assemble(text, widths, stopStrings);
        let next = 0;
        for (const piece of pieces) {
          expect(piece.seq).toBe(next);
          expect(piece.tokens).toBeGreaterThan(0);
          next += piece.tokens;
        }
        expect(next).toBeLessThanOrEqual(used);
        if (!stopped) expect(next).toBe(count);
      }),
    );
  });

  test('does not hold text back longer than it may be a stop string', () => {
    const filter = new StopFilter(['<end>']);
    expect(filter.push('a', 1)).toEqual({ seq: 0, tokens: 1, text: 'a' });
    expect(filter.push('<e', 1)).toBeUndefined();
    expect(filter.push('x', 1)).toEqual({ seq: 1, tokens: 2, text: '<ex' });
    expect(filter.push('b<', 1)).toBeUndefined();
    expect(filter.push('end', 1)).toBeUndefined();
    expect(filter.push('> c', 1)).toEqual({ seq: 3, tokens: 1, text: 'b' });
    expect(filter.matched).toBe(0);
  });

  test('lets broken bytes through as U+FFFD instead of waiting for ever', () => {
    const { ids, detokenize } = tokenizer(
      Uint8Array.from({ length: 9 }, () => 0x80),
      [1],
    );
    const assembler = new CharacterAssembler(detokenize);
    const given = Array.from(ids, (id) => assembler.push(id));
    expect(given.filter((text) => text !== undefined)).toEqual(['\ufffd'.repeat(4), '\ufffd'.repeat(4)]);
    expect(assembler.flush()).toBe('\ufffd');
  });

  test('shows the detokenizer the tokens before, so that it can place spaces', () => {
    const seen: (readonly number[])[] = [];
    const assembler = new CharacterAssembler((tokens, before) => {
      seen.push(before);
      return `${tokens[0]}`;
    });
    for (let token = 0; token < 6; token++) assembler.push(token);
    expect(seen).toEqual([[], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]);
  });
});
