import { expect, it } from 'vitest';
import { Answered } from '../../client/answered.ts';
import type { Router } from '../../client/router.ts';

it('remembers who answered the last 10,000 requests, by the last that is known of each', () => {
  const router = {} as Router;
  const answered = new Answered();
  const note = (id: string, requestId = id) => answered.remember(id, { router, requestId });
  for (let n = 0; n < 10_000; n++) note(`${n}`);
  note('0', 'moved');
  note('one more');
  expect(answered.get('1')).toBeUndefined();
  expect(answered.get('0')).toEqual({ router, requestId: 'moved' });
  expect(answered.get('one more')).toBeDefined();
});
