import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Prefix } from '../../proto/contract/prefix.ts';
import { prefixesOf } from '../../proto/contract/prefix.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { Locality } from '../../router/fleet/locality.ts';

const MODEL = { name: 'm', slots: 2 };
const text = (word: string) => `${word} `.repeat(200);
const turns = (...words: string[]): readonly Prefix[] =>
  prefixesOf(words.map((word, i) => ({ role: i % 2 === 0 ? Role.ROLE_USER : Role.ROLE_ASSISTANT, text: text(word) })));
const hashes = (prefixes: readonly Prefix[]) => prefixes.map(({ hash }) => hash);
const tokens = (...words: string[]) => words.reduce((sum, word) => sum + text(word).length / 4, 0);
const usage = (cachedInputTokens: number) => ({ inputTokens: 1000, outputTokens: 10, cachedInputTokens });

let locality: Locality;
beforeEach(() => {
  locality = new Locality();
});

const cached = (prefixes: readonly Prefix[], node = 'a', model = 'm') => locality.lookup(prefixes)(node, model);

describe('what a node reports', () => {
  it('counts as far as the conversation is the same', () => {
    locality.report('a', { model: 'm', hashes: hashes(turns('one', 'two')) });
    expect(cached(turns('one', 'two', 'three'))).toBe(tokens('one', 'two'));
    expect(cached(turns('one', 'other', 'three'))).toBe(tokens('one'));
    expect(cached(turns('other'))).toBe(0);
    expect(cached(turns('one', 'two'), 'b')).toBe(0);
    expect(cached(turns('one', 'two'), 'a', 'n')).toBe(0);
  });

  it('takes the place of what it reported before', () => {
    locality.report('a', { model: 'm', hashes: hashes(turns('one')) });
    locality.report('a', { model: 'm', hashes: hashes(turns('two')) });
    expect(cached(turns('one'))).toBe(0);
    expect(cached(turns('two'))).toBe(tokens('two'));
    locality.report('a', { model: 'm', hashes: [] });
    expect(locality.size).toBe(0);
  });

  it('is forgotten with the node, or with its model', () => {
    for (const node of ['a', 'b']) locality.report(node, { model: 'm', hashes: hashes(turns('one')) });
    locality.serves('b', [{ name: 'm' }]);
    locality.left('a');
    expect(cached(turns('one'))).toBe(0);
    expect(cached(turns('one'), 'b')).toBe(tokens('one'));
    locality.serves('b', [{ name: 'n' }]);
    expect(locality.size).toBe(0);
  });

  it('is seen by a request that has been waiting', () => {
    const waiting = locality.lookup(turns('one'));
    expect(waiting('a', 'm')).toBe(0);
    locality.report('a', { model: 'm', hashes: hashes(turns('one')) });
    expect(waiting('a', 'm')).toBe(tokens('one'));
  });
});

describe('what a node served', () => {
  it('is presumed to be there', () => {
    locality.served('a', MODEL, turns('one'), usage(0));
    expect(cached(turns('one', 'two', 'three'))).toBe(tokens('one'));
  });

  it('is presumed of as many conversations as it has slots, the last ones', () => {
    for (const word of ['one', 'two', 'three']) locality.served('a', MODEL, turns(word));
    expect(['one', 'two', 'three'].map((word) => cached(turns(word)) > 0)).toEqual([false, true, true]);
  });

  it('is one conversation, however many turns it has', () => {
    locality.served('a', MODEL, turns('other'));
    locality.served('a', MODEL, turns('one'));
    locality.served('a', MODEL, turns('one', 'two', 'three'));
    expect(cached(turns('other'))).toBe(tokens('other'));
    expect(cached(turns('one', 'two', 'three'))).toBe(tokens('one', 'two', 'three'));
  });

  it('is presumed until the node says what it holds', () => {
    locality.served('a', MODEL, turns('one'));
    locality.report('a', { model: 'm', hashes: [] });
    expect(cached(turns('one'))).toBe(0);
  });

  it('is forgotten when the engine had nothing of it', () => {
    locality.served('a', MODEL, turns('other'));
    locality.served('a', MODEL, turns('one'));
    locality.served('a', MODEL, turns('one', 'two', 'three'), usage(0));
    expect(cached(turns('other'))).toBe(0);
    expect(cached(turns('one', 'two', 'three'))).toBeGreaterThan(0);
  });

  it('is no more presumed of an engine that never keeps anything, until it does', () => {
    const grow = ['1', '2', '3', '4', '5'];
    for (let n = 1; n <= 4; n++) locality.served('a', MODEL, turns(...grow.slice(0, n)), usage(0));
    expect(cached(turns(...grow))).toBe(0);
    locality.served('a', MODEL, turns(...grow), usage(700));
    expect(cached(turns(...grow))).toBeGreaterThan(0);
  });
});

it('nothing is left of nodes that have left, whatever they said', () => {
  const word = fc.constantFrom('one', 'two', 'three');
  const node = fc.constantFrom('a', 'b');
  const conversation = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => turns(...words));
  const step = fc.oneof(
    fc.record({ type: fc.constant('report'), node, conversation, cached: fc.constant(0) }),
    fc.record({ type: fc.constant('served'), node, conversation, cached: fc.constantFrom(0, 500) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const all = new Locality();
      for (const { type, node, conversation, cached } of steps) {
        if (type === 'report') all.report(node, { model: 'm', hashes: hashes(conversation) });
        else all.served(node, MODEL, conversation, usage(cached));
        const most = (conversation.at(-1)?.bytes ?? 0) / 4;
        for (const each of ['a', 'b']) expect(all.lookup(conversation)(each, 'm')).toBeLessThanOrEqual(most);
      }
      for (const each of ['a', 'b']) all.left(each);
      expect(all.size).toBe(0);
    }),
  );
});
