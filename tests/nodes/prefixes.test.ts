import { beforeEach, describe, expect, it } from 'vitest';
import { CachedPrefixes } from '../../nodes/prefixes.ts';
import { MOST_CACHED_PREFIXES, prefixesOf } from '../../proto/contract/prefix.ts';
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason, Role } from '../../proto/gen/infermesh/v1/types.ts';
import { Recorder } from '../contract/jobs.ts';
import { CANCELLED, NO_TIMINGS } from './fakes.ts';

const user = (text: string): Message => ({ role: Role.ROLE_USER, text });
const assistant = (text: string): Message => ({ role: Role.ROLE_ASSISTANT, text });
const hashesOf = (...messages: Message[]) => prefixesOf(messages).map(({ hash }) => hash);
const FINISHED = {
  type: 'finish',
  reason: FinishReason.FINISH_REASON_STOP,
  usage: { inputTokens: 1, outputTokens: 1, cachedInputTokens: 0 },
} as const;

let cache: CachedPrefixes;
beforeEach(() => {
  cache = new CachedPrefixes(2);
});

/** A job that reads the messages in a slot and gives this answer. */
function answer(slot: number, messages: Message[], text: string): void {
  const sink = cache.watching({ messages }, new Recorder());
  sink.prefilling(slot);
  sink.delta(0, 1, text);
  sink.end(FINISHED, 1, NO_TIMINGS);
}

describe('what a KV cache holds', () => {
  it('is what was read and answered, for whoever goes on from there', () => {
    answer(0, [user('one')], 'two');
    const next = hashesOf(user('one'), assistant('two'), user('three'));
    expect(cache.hashes).toEqual(next.slice(0, 2));
  });

  it('is the whole answer, also when its beginning was delivered by another node', () => {
    const delivered = { tokens: 2, text: 'tw', tokenIds: [] };
    const messages = [user('one')];
    const sink = cache.watching({ messages, delivered }, new Recorder(2));
    sink.prefilling(0);
    expect(cache.hashes).toEqual([]);
    sink.delta(2, 1, 'o');
    expect(cache.hashes).toEqual(hashesOf(...messages));
    sink.end(FINISHED, 3, NO_TIMINGS);
    expect(cache.hashes).toEqual(hashesOf(...messages, assistant('two')));
  });

  it('is of all slots, the one used last first, each prefix once', () => {
    answer(0, [user('system'), user('a')], '1');
    answer(1, [user('system'), user('b')], '2');
    const one = hashesOf(user('system'), user('a'), assistant('1'));
    const other = hashesOf(user('system'), user('b'), assistant('2'));
    expect(cache.hashes).toEqual([...other, ...one.slice(1)]);
  });

  it('is what two conversations have in common, while a slot reads the second', () => {
    answer(0, [user('system'), user('a')], '1');
    const messages = [user('system'), user('b')];
    const sink = cache.watching({ messages }, new Recorder());
    sink.prefilling(0);
    expect(cache.hashes).toEqual(hashesOf(user('system')));
    sink.delta(0, 1, 'x');
    expect(cache.hashes).toEqual(hashesOf(...messages));
    sink.end(CANCELLED, 1, NO_TIMINGS);
    expect(cache.hashes).toEqual(hashesOf(...messages));
  });

  it('is nothing of what was cancelled before it was read', () => {
    const sink = cache.watching({ messages: [user('a')] }, new Recorder());
    sink.prefilling(0);
    sink.end(CANCELLED, 0, NO_TIMINGS);
    expect(cache.hashes).toEqual([]);
  });

  it('is nothing of what never got a slot', () => {
    const before = cache.version;
    cache.watching({ messages: [user('a')] }, new Recorder()).end(CANCELLED, 0, NO_TIMINGS);
    expect([cache.hashes, cache.version]).toEqual([[], before]);
  });

  it('is nothing when the engine has died', () => {
    answer(0, [user('one')], 'two');
    const before = cache.version;
    cache.clear();
    expect(cache.hashes).toEqual([]);
    expect(cache.version).toBeGreaterThan(before);
  });

  it('never has more prefixes than a report takes', () => {
    cache = new CachedPrefixes(400);
    const messages = Array.from({ length: 40 }, (_, i) => user(`turn ${i}`));
    for (let slot = 0; slot < 400; slot++) answer(slot, [user(`conversation ${slot}`), ...messages], 'x');
    expect(cache.hashes.length).toBe(MOST_CACHED_PREFIXES);
    expect(cache.hashes).toContain(hashesOf(user('conversation 399'), ...messages, assistant('x')).at(-1));
  });

  it('is told to the sink below as it came', () => {
    const below = new Recorder();
    const sink = cache.watching({ messages: [user('a')] }, below);
    sink.prefilling(1);
    sink.delta(0, 2, 'xy');
    sink.end(FINISHED, 2, NO_TIMINGS);
    expect([below.prefills, below.text, below.ends, below.outOfOrder]).toEqual([1, 'xy', 1, 0]);
  });
});
