import { expect, it } from 'vitest';
import { PrefixNews } from '../../nodes/prefix-news.ts';
import { CachedPrefixes } from '../../nodes/prefixes.ts';

it('tells the list of each model once, and again when it changes', () => {
  const news = new PrefixNews();
  const [a, b] = [new CachedPrefixes(2), new CachedPrefixes(2)];
  const models = [
    { name: 'a', prefixes: a },
    { name: 'b', prefixes: b },
  ];
  expect(news.since(models)).toEqual([]);
  a.hold(0, [1, 2]);
  expect(news.since(models)).toEqual([{ model: 'a', hashes: [1, 2] }]);
  b.hold(0, [3]);
  expect(news.since(models)).toEqual([{ model: 'b', hashes: [3] }]);
  expect(news.since(models)).toEqual([]);
});

it('tells that nothing is held any more once the engine was replaced, or has left memory', () => {
  const news = new PrefixNews();
  const before = new CachedPrefixes(1);
  before.hold(0, [1]);
  news.since([{ name: 'a', prefixes: before }]);
  const after = new CachedPrefixes(1);
  expect(news.since([{ name: 'a', prefixes: after }])).toEqual([{ model: 'a', hashes: [] }]);
  expect(news.since([{ name: 'a', prefixes: after }])).toEqual([]);
  after.hold(0, [2]);
  expect(news.since([{ name: 'a', prefixes: after }])).toEqual([{ model: 'a', hashes: [2] }]);
  expect(news.since([{ name: 'a', prefixes: undefined }])).toEqual([{ model: 'a', hashes: [] }]);
  expect(news.since([{ name: 'a', prefixes: undefined }])).toEqual([]);
});
