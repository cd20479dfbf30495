import { expect, it } from 'vitest';
import { ChatRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import { QUARANTINE_MS, Quarantine } from '../../../router/attempt/quarantine.ts';
import { FakeClock } from '../../support/clock.ts';

const chat = (text: string, more: Partial<ChatRequest> = {}) =>
  ChatRequest.fromPartial({ messages: [{ role: 1, text }], ...more });

it('keeps a request out for ten minutes, however it is asked, and nobody else', () => {
  const clock = new FakeClock();
  const quarantine = new Quarantine(clock);
  expect(quarantine.has(chat('poison'))).toBe(false);
  quarantine.add(chat('poison'));
  expect(quarantine.has(chat('poison', { maxTokens: 7, idempotencyKey: 'other' }))).toBe(true);
  expect(quarantine.has(chat('poison '))).toBe(false);
  clock.advance(QUARANTINE_MS - 1);
  expect(quarantine.has(chat('poison'))).toBe(true);
  clock.advance(1);
  expect(quarantine.has(chat('poison'))).toBe(false);
});

it('counts the ten minutes anew each time', () => {
  const clock = new FakeClock();
  const quarantine = new Quarantine(clock);
  quarantine.add(chat('a'));
  quarantine.add(chat('b'));
  clock.advance(QUARANTINE_MS / 2);
  quarantine.add(chat('a'));
  clock.advance(QUARANTINE_MS / 2);
  expect([quarantine.has(chat('a')), quarantine.has(chat('b'))]).toEqual([true, false]);
});
