import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Piece } from '../../../nodes/backends/text-assembler.ts';
import { behindText, CharacterAssembler, StopFilter, TextAssembler } from '../../../nodes/backends/text-assembler.ts';

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

  test('gives as many ids with a piece as it has tokens, in their order', () => {
    fc.assert(
      fc.property(letters, cuts, stops, (text, widths, stopStrings) => {
        const { pieces } = assemble(text, widths, stopStrings);
        // The tokenizer numbers its tokens as they come.
        for (const { seq, tokens, tokenIds } of pieces) {
          expect(tokenIds).toEqual(Array.from({ length: tokens }, (_, index) => seq + index));
        }
      }),
    );
  });

  test('goes on behind any piece as if it had never been interrupted', () => {
    fc.assert(
      fc.property(fc.oneof(letters, texts), cuts, stops, fc.nat(), (text, widths, stopStrings, where) => {
        const { ids, detokenize } = tokenizer(Buffer.from(text), widths);
        const all = [...ids];
        const whole = assemble(text, widths, stopStrings);
        const given = whole.pieces.slice(0, whole.pieces.length === 0 ? 0 : where % whole.pieces.length);
        const delivered = { tokens: 0, text: given.map((piece) => piece.text).join(''), tokenIds: [] as number[] };
        delivered.tokenIds = given.flatMap((piece) => piece.tokenIds);
        delivered.tokens = delivered.tokenIds.length;
        expect(behindText(delivered, detokenize)).toBe('');
        const assembler = new TextAssembler(detokenize, stopStrings, delivered);
        const rest: Piece[] = [];
        for (const id of all.slice(delivered.tokens)) {
          const piece = assembler.push(id);
          if (piece) rest.push(piece);
          if (assembler.matched !== undefined) break;
        }
        if (assembler.matched === undefined) rest.push(...assembler.flush());
        let next = delivered.tokens;
        for (const { seq, tokens } of rest) {
          expect(seq).toBe(next);
          expect(tokens).toBeGreaterThan(0);
          next += tokens;
        }
        expect(delivered.text + rest.map((piece) => piece.text).join('')).toBe(whole.pieces.map((piece) => piece.text).join(''));
        expect(assembler.matched !== undefined).toBe(whole.stopped);
      }),
      { numRuns: 3000 },
    );
  });

  test('ends at a stop string that begins in what was delivered and goes on otherwise than before', () => {
    // "a" was released because "cd" came after it; the engine that goes on gives "b".
    const filter = new StopFilter(['ab', 'cde']);
    expect(filter.push('a', [0])).toBeUndefined();
    expect(filter.push('cd', [1])).toEqual({ seq: 0, tokens: 1, text: 'a', tokenIds: [0] });
    const resumed = new StopFilter(['ab', 'cde'], { tokens: 1, text: 'a' });
    expect(resumed.push('b', [2])).toBeUndefined();
    expect(resumed.matched).toBe(0);
    const other = new StopFilter(['ab', 'cde'], { tokens: 1, text: 'a' });
    expect(other.push('xa', [3])).toBeUndefined();
    expect(other.push('c', [4])).toMatchObject({ seq: 1, tokens: 1, text: 'xa' });
    expect(other.flush()).toMatchObject({ seq: 2, tokens: 1, text: 'c' });
  });

  test('tells what of its last token a stop string cut off, and tokens of another text', () => {
    const detokenize = (ids: readonly number[]) => ids.map((id) => ['one ', 'two.\n', '\nQ'][id]).join('');
    expect(behindText({ tokens: 2, text: 'one two.', tokenIds: [0, 1] }, detokenize)).toBe('\n');
    expect(behindText({ tokens: 2, text: 'one two.\n', tokenIds: [0, 1] }, detokenize)).toBe('');
    expect(behindText({ tokens: 2, text: 'one three', tokenIds: [0, 1] }, detokenize)).toBeUndefined();
    expect(behindText({ tokens: 1, text: 'one two', tokenIds: [0] }, detokenize)).toBeUndefined();
  });

  test('does not hold text back longer than it may be a stop string', () => {
    const filter = new StopFilter(['<end>']);
    expect(filter.push('a', [10])).toEqual({ seq: 0, tokens: 1, text: 'a', tokenIds: [10] });
    expect(filter.push('<e', [11])).toBeUndefined();
    expect(filter.push('x', [12])).toEqual({ seq: 1, tokens: 2, text: '<ex', tokenIds: [11, 12] });
    expect(filter.push('b<', [13])).toBeUndefined();
    expect(filter.push('end', [14])).toBeUndefined();
    expect(filter.push('> c', [15])).toEqual({ seq: 3, tokens: 1, text: 'b', tokenIds: [13] });
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
    seen.length = 0;
    const resumed = new CharacterAssembler(
      (tokens, before) => {
        seen.push(before);
        return `${tokens[0]}`;
      },
      [0, 1, 2, 3, 4],
    );
    resumed.push(5);
    expect(seen).toEqual([[1, 2, 3, 4]]);
  });
});
