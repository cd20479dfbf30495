import { expect, it } from 'vitest';
import { Spending } from '../../../router/share/spending.ts';

const spent = (tokens: number) => ({ requests: 1, tokens });
const spentAt = (at: number, tenant: string, requests: number, tokens: number) => ({
  kind: 'spent',
  at,
  tenant,
  requests,
  tokens,
});

it('tells once what each tenant has spent, as one sum', () => {
  const spending = new Spending();
  spending.add('acme', spent(10), 0);
  spending.add('bolt', spent(5), 100);
  spending.add('acme', spent(-3), 200);
  expect(spending.take(9)).toEqual([spentAt(200, 'acme', 2, 7), spentAt(200, 'bolt', 1, 5)]);
  expect(spending.take(9)).toEqual([]);
});

it('keeps apart what was spent at other times, the oldest first, for a minute', () => {
  const spending = new Spending();
  for (const at of [0, 6000, 66_000]) spending.add('acme', spent(at), at);
  expect(spending.take(9)).toEqual([spentAt(66_000, 'acme', 1, 66_000)]);
  for (const at of [70_000, 76_000]) spending.add('acme', spent(at), at);
  expect(spending.take(9)).toEqual([spentAt(70_000, 'acme', 1, 70_000), spentAt(76_000, 'acme', 1, 76_000)]);
});

it('tells so many at a time, and nothing of what was given back', () => {
  const spending = new Spending();
  spending.add('none', { requests: 0, tokens: 4 }, 0);
  spending.add('none', { requests: 0, tokens: -4 }, 0);
  for (const tenant of ['a', 'b', 'c']) spending.add(tenant, spent(1), 0);
  expect(spending.take(2)).toEqual([spentAt(0, 'a', 1, 1), spentAt(0, 'b', 1, 1)]);
  spending.add('a', spent(2), 1);
  expect(spending.take(2)).toEqual([spentAt(1, 'c', 1, 1), spentAt(1, 'a', 1, 2)]);
});
