import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RouterLink } from '../../nodes/router-link.ts';
import type { NodeStream } from './fake-router.ts';
import { FakeRouter } from './fake-router.ts';

/** An assignment as the link sees it. */
function fakeAssignment(over: () => void) {
  return { over, cancel: vi.fn(), credit: vi.fn(), handBack: vi.fn() };
}
type FakeAssignment = ReturnType<typeof fakeAssignment>;

let router: FakeRouter;
let link: RouterLink;
let begun: FakeAssignment[];
const drained = vi.fn();
const connected = vi.fn();

beforeEach(async () => {
  router = await FakeRouter.start();
  begun = [];
  vi.clearAllMocks();
  link = new RouterLink({
    router: router.address,
    nodeId: 'n',
    token: 'a-join-token-for-tests-only',
    tls: undefined,
    random: () => 0,
    introduction: () => [],
    onConnected: (_id, reportIntervalMs) => connected(reportIntervalMs),
    onLost() {},
    onWork: (_work, _frames, over) => {
      const assignment = fakeAssignment(over);
      begun.push(assignment);
      return assignment as never;
    },
    onEmbed: (_embed, _answer, over) => {
      const embed = fakeAssignment(over);
      begun.push(embed);
      return embed as never;
    },
    onCommand() {},
    onDrain: (limitMs) => drained(limitMs),
  });
});
afterEach(async () => {
  await link.close();
  await router[Symbol.asyncDispose]();
});

/** Sends work number 1 and resolves with what the node made of it. */
async function works(stream: NodeStream): Promise<FakeAssignment> {
  const before = begun.length;
  stream.work({ request: 1 });
  await vi.waitFor(() => expect(begun.length).toBe(before + 1));
  return begun[before]!;
}

async function attached(): Promise<NodeStream> {
  const stream = await router.attached();
  stream.welcome();
  return stream;
}

/** Work 1 of a stream that was lost while its engine ran, and work 1 of the stream after it. */
async function lostAndAgain() {
  const lost = await attached();
  const old = await works(lost);
  lost.end();
  const stream = await attached();
  return { old, stream, current: await works(stream) };
}

it("a lost stream's assignment is cancelled and counts until its engine has stopped", async () => {
  const { old, current } = await lostAndAgain();
  expect(old.cancel).toHaveBeenCalled();
  expect([link.working.total, link.abandoned.total]).toEqual([2, 1]);
  current.over();
  await turn();
  expect([link.working.total, link.abandoned.total]).toEqual([1, 1]);
  old.over();
  await turn();
  expect([link.working.total, link.abandoned.total]).toEqual([0, 0]);
});

it('a new stream may use the same number again: the old end does not reach the new assignment', async () => {
  const { old, stream, current } = await lostAndAgain();
  old.over();
  await turn();
  expect(link.working.total).toBe(1);
  stream.send({ $case: 'credit', value: { request: 1, epoch: 1, bytes: 9 } });
  stream.send({ $case: 'cancel', value: { request: 1, epoch: 1 } });
  await vi.waitFor(() => expect(current.cancel).toHaveBeenCalledOnce());
  expect(current.credit).toHaveBeenCalledExactlyOnceWith(9);
  expect(old.credit).not.toHaveBeenCalled();
});

it('is idle when the assignments of all its streams have ended', async () => {
  const { old, current } = await lostAndAgain();
  const idle = vi.fn();
  const waiting = link.idle(new AbortController().signal).then(idle);
  current.over();
  await turn();
  expect(idle).not.toHaveBeenCalled();
  old.over();
  await waiting;
});

it('closing cancels what runs and takes no new work', async () => {
  const stream = await attached();
  const running = await works(stream);
  const closed = link.close();
  expect(running.cancel).toHaveBeenCalledOnce();
  stream.work({ request: 2 });
  await closed;
  expect(begun).toHaveLength(1);
  expect(link.working.total).toBe(1);
  running.over();
});

it('waits no longer for its assignments than the signal says', async () => {
  await works(await attached());
  const limit = new AbortController();
  const waiting = link.idle(limit.signal);
  limit.abort();
  await waiting;
  await link.idle(limit.signal);
  expect(link.working.total).toBe(1);
});

it("hands on the router's wishes: how often to report, and to leave", async () => {
  const stream = await router.attached();
  stream.send({ $case: 'welcome', value: { routerId: 'fake', reportIntervalMs: 250 } });
  stream.send({ $case: 'drain', value: { limitMs: 1500 } });
  await vi.waitFor(() => expect(drained).toHaveBeenCalledExactlyOnceWith(1500));
  expect(connected).toHaveBeenCalledExactlyOnceWith(250);
});

it('hands back what runs, and not what runs for a stream that is lost', async () => {
  const { old, current } = await lostAndAgain();
  link.handBack();
  expect(current.handBack).toHaveBeenCalledOnce();
  expect(old.handBack).not.toHaveBeenCalled();
});
