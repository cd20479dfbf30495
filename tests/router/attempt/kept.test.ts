import { expect, it } from 'vitest';
import { ChatResponse } from '../../../proto/gen/infermesh/v1/inference.ts';
import { framed } from '../../../proto/transport/framing.ts';
import { Kept } from '../../../router/attempt/kept.ts';

const piece = (text: string, seq = 0, tokenIds: number[] = []) => {
  const value = { seq, tokens: Math.max(1, tokenIds.length), text, tokenIds };
  return framed(ChatResponse.encode({ event: { $case: 'delta', value } }).finish());
};

it('gives back the beginning of an answer, and all of it', () => {
  const kept = new Kept();
  kept.take(piece('I cannot '));
  kept.take(piece('help with that.', 1));
  expect(kept.head()).toBe('I cannot help with that.');
  for (let n = 2; n < 1000; n++) kept.take(piece('0123456789', n));
  expect(kept.head().length).toBeLessThan(2000);
  expect(kept.text()).toBe(`I cannot help with that.${'0123456789'.repeat(998)}`);
  expect(kept.isWhole).toBe(true);
});

it('has what another node needs to go on behind it, with what came before', () => {
  const kept = new Kept({ text: 'Once', tokens: 1, tokenIds: [7] });
  kept.take(piece(' upon', 1, [8]));
  kept.take(piece(' a time', 2, [9, 10]));
  expect(kept.delivered()).toEqual({ text: 'Once upon a time', tokens: 4, tokenIds: [7, 8, 9, 10] });
});

it('gives no token ids where some are missing', () => {
  const kept = new Kept();
  kept.take(piece('a', 0, [1]));
  kept.take(piece('b', 1, []));
  expect(kept.delivered()).toEqual({ text: 'ab', tokens: 2, tokenIds: [] });
});

it('keeps 4 MiB, and says when there was more', () => {
  const kept = new Kept();
  const text = 'x'.repeat(60_000);
  for (let n = 0; n < 69; n++) kept.take(piece(text, n));
  expect(kept.isWhole).toBe(true);
  kept.take(piece(text, 69));
  expect(kept.isWhole).toBe(false);
  expect(kept.text().length).toBe(69 * 60_000);
});

it('has a copy, which a reused frame cannot change', () => {
  const kept = new Kept();
  const frame = piece('as it was');
  kept.take(frame);
  frame.fill(0);
  expect(kept.text()).toBe('as it was');
});
