import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Fault } from '../../proto/contract/faults.ts';
import { address, envName, flagName, integer, isLoopback, list, resolveSettings, toggle } from '../../proto/contract/settings.ts';

const schema = z.object({
  listen: address().default('127.0.0.1:1'),
  slots: integer(1, 10).default(4),
  allowPlaintext: toggle().default(false),
  labels: list(z.string()).default([]),
});

function failure(sources: Parameters<typeof resolveSettings>[1]): Fault {
  try {
    resolveSettings(schema, sources);
  } catch (fault) {
    return fault as Fault;
  }
  throw new Error('it was accepted');
}

describe('settings', () => {
  it('come from the flag, else the environment, else the file, else the default', () => {
    const flags = { slots: '1' };
    const env = { INFERMESH_SLOTS: '2' };
    const file = { slots: 3 };
    expect(resolveSettings(schema, { flags, env, file }).slots).toBe(1);
    expect(resolveSettings(schema, { env, file }).slots).toBe(2);
    expect(resolveSettings(schema, { file }).slots).toBe(3);
    expect(resolveSettings(schema, {}).slots).toBe(4);
  });

  it('take an empty variable for none, and a flag that was not given too', () => {
    expect(resolveSettings(schema, { flags: { slots: undefined }, env: { INFERMESH_SLOTS: '' } }).slots).toBe(4);
  });

  it('tell all that is wrong together, each by the name under which it was given', () => {
    const fault = failure({
      flags: { slots: '99' },
      env: { INFERMESH_LISTEN: 'here' },
      file: { allowPlaintext: 'maybe', tpyo: 1 },
    });
    expect(fault).toMatchObject({ reason: 'INVALID_REQUEST' });
    expect(Object.fromEntries(fault.violations.map(({ field, description }) => [field, description]))).toEqual({
      tpyo: 'is not a setting; remove it from the file',
      INFERMESH_LISTEN: 'must be HOST:PORT, received "here"',
      '--slots': 'must be a whole number from 1 to 10, received "99"',
      'allowPlaintext in the configuration file': 'must be true or false, received "maybe"',
    });
  });

  it('do not tell what stands before the host of a refused URL, which may be a password', () => {
    const [violation] = failure({ flags: { slots: 'http://user:sec@/ret@host/v1' } }).violations;
    expect(violation?.description).toBe('must be a whole number from 1 to 10, received "http://...@host/v1"');
  });

  it('cannot be changed afterwards', () => {
    expect(Object.isFrozen(resolveSettings(schema, {}))).toBe(true);
  });

  it.each(['1.5', 'NaN', 'Infinity', '-1', '0', '11', '1e9', 'two'])('that are whole numbers refuse %s', (slots) => {
    expect(failure({ flags: { slots } }).violations[0]?.description).toContain('must be a whole number from 1 to 10');
  });

  it.each([
    ['true', true],
    ['1', true],
    ['on', true],
    [true, true],
    ['false', false],
    ['no', false],
  ])('that are switches read %s', (given, meant) => {
    expect(resolveSettings(schema, { flags: { allowPlaintext: given } }).allowPlaintext).toBe(meant);
  });

  it('that are lists read commas', () => {
    expect(resolveSettings(schema, { env: { INFERMESH_LABELS: 'a, b,c' } }).labels).toEqual(['a', 'b', 'c']);
    expect(resolveSettings(schema, { file: { labels: ['a'] } }).labels).toEqual(['a']);
  });

  it.each(['host', 'host:', ':1', 'host:65536', 'host:99999', 'http://host:1', 'host:1/x', '::1:5', 'a b:1', 'user@host:1'])(
    'that are addresses refuse %s',
    (listen) => expect(failure({ flags: { listen } }).violations[0]?.field).toBe('--listen'),
  );

  it('know loopback from the world', () => {
    expect(['127.0.0.1:1', 'localhost:1', '[::1]:1', '127.9.9.9:1'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0:1', '127.0.0.1.evil.example:1', 'localhost.evil:1', '[::]:1', '10.0.0.1:1'].some(isLoopback)).toBe(false);
  });

  it('are named alike everywhere', () => {
    expect([envName('tokenFile'), flagName('tokenFile')]).toEqual(['INFERMESH_TOKEN_FILE', '--token-file']);
  });
});
