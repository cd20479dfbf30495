import { expect, it } from 'vitest';
import { ChatResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { framed } from '../../proto/transport/framing.ts';
import { Kept } from '../../router/attempt/kept.ts';

const piece = (text: string, seq = 0) =>
  framed(ChatResponse.encode({ event: { $case: 'delta', value: { seq, tokens: 1, text, tokenIds: [] } } }).finish());

it('gives back the beginning of an answer, and says when there was more', () => {
  const kept = new Kept(false);
  kept.take(piece('I cannot '));
  kept.take(piece('help with that.', 1));
  expect(kept.text()).toBe('I cannot help with that.');
  expect(kept.isWhole).toBe(true);
  for (let n = 2; n < 200; n++) kept.take(piece('and so on ', n));
  expect(kept.isWhole).toBe(false);
  expect(kept.text().length).toBeLessThan(2000);
});

it('keeps all of an answer that matters as a whole', () => {
  const kept = new Kept(true);
  for (let n = 0; n < 1000; n++) kept.take(piece('0123456789', n));
  expect(kept.text()).toBe('0123456789'.repeat(1000));
  expect(kept.isWhole).toBe(true);
});

it('has a copy, which a reused frame cannot change', () => {
  const kept = new Kept(false);
  const frame = piece('as it was');
  kept.take(frame);
  frame.fill(0);
  expect(kept.text()).toBe('as it was');
});
