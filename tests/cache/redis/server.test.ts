import { expect, test } from 'vitest';
import { redisOrSkip } from '../../support/redis.ts';

test('a server of its own can be killed, started again and frozen', async (context) => {
  await using redis = await redisOrSkip(context, { ofItsOwn: true });
  expect(await redis.call('PING')).toBe('PONG');
  const before = redis.pid;
  await redis.kill();
  await expect(redis.call('PING')).rejects.toThrow();
  await redis.restart();
  expect(redis.pid).not.toBe(before);
  expect(await redis.call('SET', 'name', Buffer.from('value'))).toBe('OK');
  expect(await redis.call('GET', 'name')).toBe('value');
});
