/** Nodes whose engine has said when it wants to be asked again. */
import { beforeEach, expect, it } from 'vitest';
import { Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { decide } from '../../router/select/decide.ts';
import { refusalFault } from '../../router/select/refusal.ts';
import { FakeClock } from '../support/clock.ts';
import { fakeLink } from './fakes.ts';
import { ask, candidate, knowledge } from './select/builders.ts';

const models = ['m', 'other'].map((name) => ServedModel.fromPartial({ name, slots: 2, contextLength: 4096 }));
let clock: FakeClock;
let fleet: Fleet;

beforeEach(() => {
  clock = new FakeClock();
  fleet = new Fleet(clock, () => {});
  for (const id of ['cloud', 'near']) join(id, 1);
});

function join(id: string, epoch: number): void {
  const { link } = fakeLink(id, epoch, clock.now());
  fleet.join(link, () => {});
  fleet.inventory(link, models);
  fleet.report(link, Report.fromPartial({ state: NodeState.NODE_STATE_SERVING }));
}

function wantsRest(node: string, ms: number): void {
  using claim = fleet.claim(node, { model: 'm', promptTokens: 1, outputTokens: 1 });
  claim.rests(ms);
}
const restMs = (id: string, name = 'm') =>
  fleet.candidates().find(({ node, model }) => node === id && model.name === name)?.restsMs;

it('gets no work for that model until then, and who waits looks again when the time is over', () => {
  wantsRest('cloud', 400);
  expect([restMs('cloud'), restMs('cloud', 'other'), restMs('near')]).toEqual([400, 0, 0]);
  expect([fleet.hasOther('near', 'm'), fleet.hasOther('cloud', 'm')]).toEqual([false, true]);
  const looks: unknown[] = [];
  fleet.onChange(() => looks.push(restMs('cloud')));
  clock.advance(399);
  expect(looks).toEqual([]);
  clock.advance(1);
  expect(looks).toEqual([0]);
  fleet.stop();
});

it('is left alone for the longest of what it has said', () => {
  wantsRest('cloud', 400);
  wantsRest('cloud', 1000);
  wantsRest('cloud', 200);
  clock.advance(400);
  expect(restMs('cloud')).toBe(600);
  fleet.stop();
});

it('is waited for where the time is short, and nobody else can begin sooner', () => {
  const soon = candidate('a', {}, { restsMs: 800 });
  const { awaited, considered } = decide([soon], ask(), knowledge());
  expect(awaited?.candidate.node).toBe('a');
  expect(considered[0]?.estimate.waitMs).toBe(800);
  expect(decide([soon, candidate('b')], ask(), knowledge()).chosen?.candidate.node).toBe('b');
  const hasty = ask({ remainingMs: 500 });
  expect(refusalFault(decide([soon], hasty, knowledge()), hasty).reason).toBe('DEADLINE_EXCEEDED');
});

it('is another when another process takes its name', () => {
  wantsRest('cloud', 600_000);
  join('cloud', 2);
  expect(restMs('cloud')).toBe(0);
});

it('leaves no timer when the router ends', () => {
  wantsRest('cloud', 600_000);
  fleet.stop();
  expect(clock.pending).toBe(0);
});

it('makes a request that nobody else can take come back when the first of them may be asked', () => {
  const resting = [candidate('a', {}, { restsMs: 9000 }), candidate('b', {}, { restsMs: 2500 })];
  const refusal = (candidates = resting) => refusalFault(decide(candidates, ask(), knowledge()), ask());
  expect(refusal()).toMatchObject({
    reason: 'QUEUE_FULL',
    message: 'its engine takes no more for now; it may be asked again in 3 s',
    retryAfterMs: 2500,
  });
  expect(decide([...resting, candidate('c')], ask(), knowledge()).chosen?.candidate.node).toBe('c');
});

it('for which others are charged where it is given up takes no part in a hedge', () => {
  const charges = candidate('cloud', { billsAfterDisconnect: true });
  const hedged = decide([charges, candidate('near')], ask({ hedge: true }), knowledge());
  expect(hedged.chosen?.candidate.node).toBe('near');
  expect(hedged.considered[0]?.exclusion?.reason).toBe('its provider charges for answers that are given up');
  expect(decide([charges], ask(), knowledge()).chosen?.candidate.node).toBe('cloud');
});

it('is worth coming back for: what it is suited to is not given to a model that is not', () => {
  const resting = candidate('a', { name: 'chatty', tasks: ['chat'] }, { restsMs: 2500 });
  const unsuited = candidate('b', { name: 'stories', tasks: ['story'] });
  const { chosen } = decide([resting, unsuited], ask(), knowledge());
  expect(chosen).toBeUndefined();
});
