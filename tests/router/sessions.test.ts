import { beforeEach, describe, expect, it } from 'vitest';
import { SESSION_IDLE_MS, Sessions } from '../../router/fleet/sessions.ts';
import { FakeClock } from '../support/clock.ts';

let clock: FakeClock;
let sessions: Sessions;
beforeEach(() => {
  clock = new FakeClock();
  sessions = new Sessions(clock, 3);
});

describe('a session', () => {
  it('is where its last request was served', () => {
    expect(sessions.last('s')).toBeUndefined();
    sessions.served('s', 'a', 'm');
    sessions.served('s', 'b', 'n');
    expect(sessions.last('s')).toEqual({ node: 'b', model: 'n' });
    expect(sessions.size).toBe(1);
  });

  it('is forgotten when it was silent for long', () => {
    sessions.served('s', 'a', 'm');
    clock.advance(SESSION_IDLE_MS - 1);
    expect(sessions.last('s')).toEqual({ node: 'a', model: 'm' });
    clock.advance(1);
    expect(sessions.last('s')).toBeUndefined();
    sessions.served('t', 'a', 'm');
    expect(sessions.size).toBe(1);
  });

  it('gives way to newer ones, the one served longest ago first', () => {
    for (const session of ['a', 'b', 'c', 'a', 'd']) sessions.served(session, 'n', 'm');
    expect(['a', 'b', 'c', 'd'].filter((session) => sessions.last(session))).toEqual(['a', 'c', 'd']);
    expect(sessions.size).toBe(3);
  });
});
