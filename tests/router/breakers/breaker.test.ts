/** What a breaker made for calls that return gets wrong with streams; each was seen to happen with opossum alone. */
import { beforeEach, expect, it, vi } from 'vitest';
import { PROBE_LIMIT_MS } from '../../../router/breakers/breakers.ts';
import { World } from './world.ts';

const LONGER_THAN_THE_WINDOW_MS = 30_000;
let world: World;

beforeEach(() => {
  world = new World();
});

it('1: those who are turned away while it is open or probing count as nothing', () => {
  world.toHalfOpen();
  const probe = world.started();
  for (let i = 0; i < 50; i++) expect(world.permits()).toBe(false);
  probe.succeeded();
  expect(world.permits()).toBe(true);
  world.succeed(8);
  world.fail(2);
  expect(world.permits()).toBe(true);
});

it('2: a probe that is cancelled does not close it, and the next one may try', () => {
  world.toHalfOpen();
  world.started().neutral();
  expect(world.changes.at(-1)).toBe('a half open');
  const probe = world.started();
  expect(world.breakers.barred('a', 'm')).toBe('probing');
  probe.failed('transport');
  expect(world.breakers.barred('a', 'm')).toBe('open');
});

it('3: the late success of a stream that began before the outage does not close it', () => {
  const early = [world.started(), world.started(), world.started()];
  world.fail(3);
  early[0]?.succeeded();
  expect(world.breakers.barred('a', 'm')).toBe('open');
  world.clock.advance(world.openMs);
  early[1]?.succeeded();
  expect(world.changes).toEqual(['a opened: failures_in_a_row', 'a half open']);
  world.started().succeeded();
  early[2]?.failed('transport');
  world.fail(2);
  expect(world.permits()).toBe(true);
});

it('4: a probe that hangs has failed at its limit, and is followed by another', () => {
  world.toHalfOpen();
  const hung = world.started();
  world.clock.advance(PROBE_LIMIT_MS - 1);
  expect(world.breakers.barred('a', 'm')).toBe('probing');
  world.clock.advance(1);
  expect(world.changes.at(-1)).toBe('a opened: probe_failed');
  world.clock.advance(world.openMs);
  hung.succeeded();
  expect(world.changes.at(-1)).toBe('a half open');
  world.started().succeeded();
  expect(world.changes.at(-1)).toBe('a closed: succeeded');
});

it('5: an attempt that stalls ends no other, which counts for itself', () => {
  const others = [world.started(), world.started()];
  world.fail(2, 'stall');
  others[0]?.succeeded();
  world.fail(2, 'stall');
  others[1]?.failed('stall');
  expect(world.changes).toEqual(['a opened: failures_in_a_row']);
});

it('6: streams that outlast the window and all fail open it', () => {
  const streams = Array.from({ length: 50 }, () => world.started());
  world.clock.advance(LONGER_THAN_THE_WINDOW_MS);
  for (const stream of streams) stream.failed('engine');
  expect(world.changes).toEqual(['a/m opened: low_success']);
});

it('7: one of fifty streams that outlast the window fails, and it stays closed', () => {
  const streams = Array.from({ length: 50 }, () => world.started());
  world.clock.advance(LONGER_THAN_THE_WINDOW_MS);
  streams[0]?.failed('engine');
  for (const stream of streams) stream.succeeded();
  world.fail(1);
  expect(world.changes).toEqual([]);
});

it('8: a stream that began well and died is a failure', () => {
  for (let i = 0; i < 20; i++) {
    const stream = world.started();
    world.breakers.gave('a', 'm');
    stream.failed('engine');
  }
  expect(world.changes).toEqual(['a/m opened: low_success']);
});

it('9: it is open for as long as it says from the moment it opened, however old it is', () => {
  world.clock.advance(3_600_000);
  world.fail(3);
  world.clock.advance(world.openMs - 1);
  expect(world.permits()).toBe(false);
  world.clock.advance(1);
  expect(world.permits()).toBe(true);
});

it('sets no timer beside the clock that is handed in', () => {
  const [timeout, interval] = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'setInterval')];
  world.toHalfOpen();
  world.started().failed('stall');
  world.fail(20, 'engine', 'b');
  world.breakers.stop();
  expect(timeout).not.toHaveBeenCalled();
  expect(interval).not.toHaveBeenCalled();
  expect(world.clock.pending).toBe(0);
  vi.restoreAllMocks();
});
