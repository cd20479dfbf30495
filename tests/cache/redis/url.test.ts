import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRedisUrl } from '../../../cache/redis/url.ts';
import { Fault } from '../../../proto/contract/faults.ts';

const faultOf = (url: string): Fault => {
  try {
    parseRedisUrl(url);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error(`was taken: ${url}`);
};

test('one server', () => {
  expect(parseRedisUrl('redis://cache')).toEqual({
    kind: 'standalone',
    hosts: [{ host: 'cache', port: 6379 }],
    db: 0,
    tls: false,
  });
  expect(parseRedisUrl('rediss://me:s%40fe@10.0.0.1:7000/3')).toEqual({
    kind: 'standalone',
    hosts: [{ host: '10.0.0.1', port: 7000 }],
    db: 3,
    tls: true,
    username: 'me',
    password: 's@fe',
  });
  expect(parseRedisUrl('redis://:pass@[::1]:7000/')).toMatchObject({ hosts: [{ host: '::1', port: 7000 }], password: 'pass' });
});

test('sentinels', () => {
  expect(parseRedisUrl('redis+sentinel://a,b:7000/main?db=2')).toEqual({
    kind: 'sentinel',
    hosts: [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 7000 },
    ],
    masterName: 'main',
    db: 2,
    tls: false,
  });
});

test('a cluster', () => {
  expect(parseRedisUrl('rediss+cluster://u:p@a:1,b:2,c:3')).toEqual({
    kind: 'cluster',
    hosts: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
      { host: 'c', port: 3 },
    ],
    db: 0,
    tls: true,
    username: 'u',
    password: 'p',
  });
});

test.each([
  ['', 'a URL of another form'],
  ['localhost:6379', 'a URL of another form'],
  ['http://host', 'beginning with http://'],
  ['redis://', 'a host that is not'],
  ['redis://host:0', 'a port that is not from 1 to 65535'],
  ['redis://host:65536', 'a port that is not from 1 to 65535'],
  ['redis://a,b', '2 hosts'],
  ['redis://host/one', 'a database that is not from 0 to 65535'],
  ['redis://host?db=1', 'a query'],
  ['redis://user@host', 'credentials without a colon'],
  ['redis://u:%zz@host', 'a percent sign that encodes nothing'],
  ['redis+sentinel://host', 'no name of a master'],
  ['redis+sentinel://host/main?db=-1', 'a database that is not from 0 to 65535'],
  ['redis+sentinel://host/main?timeout=1', 'a query other than db=DB'],
  ['redis+cluster://host/1', 'a path or query'],
])('%s is refused for what is wrong with it', (url, received) => {
  const fault = faultOf(url);
  expect(fault.reason).toBe('INVALID_REQUEST');
  expect(fault.violations[0]?.field).toBe('--redis');
  expect(fault.message).toContain('must be redis://');
  expect(fault.message).toContain(received);
});

test('whatever the URL, a refusal repeats nothing of the password', () => {
  const secret = 'Tr0ub4dor-and-3';
  const around = fc.constantFrom('', '@', '/', '?', ':', '%', '[', ' ', '#', ',', 'redis://', 'redis+sentinel://', 'http://');
  fc.assert(
    fc.property(fc.array(around, { maxLength: 4 }), fc.array(around, { maxLength: 4 }), (before, after) => {
      const url = `${before.join('')}${secret}${after.join('')}`;
      try {
        parseRedisUrl(url);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
        expect(JSON.stringify([String(error), error])).not.toContain(secret);
      }
    }),
    { numRuns: 500 },
  );
});
