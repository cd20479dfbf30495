/** The parts of a batch: its items, how many of them are at work, and the answer that nobody reads along. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fault } from '../../../proto/contract/faults.ts';
import { BatchRequest, ChatResponse, Priority } from '../../../proto/gen/infermesh/v1/inference.ts';
import { FinishReason, Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { framed } from '../../../proto/transport/framing.ts';
import { Collector } from '../../../router/batch/collector.ts';
import { IDS_REMEMBERED, Items } from '../../../router/batch/items.ts';
import { Window } from '../../../router/batch/window.ts';
import { FakeClock } from '../../support/clock.ts';

const bytes = (request: Parameters<typeof BatchRequest.fromPartial>[0]) =>
  Buffer.from(BatchRequest.encode(BatchRequest.fromPartial(request)).finish());
const chat = (id: string, priority?: Priority) =>
  bytes({
    id,
    item: { $case: 'chat', value: { messages: [{ role: Role.ROLE_USER, text: 'hello' }], ...(priority ? { priority } : {}) } },
  });
const violationOf = (item: ReturnType<Items['read']>) => (item.type === 'refused' ? item.fault.message : item.type);

describe('an item', () => {
  it('that is a chat is of low priority unless it says otherwise', () => {
    const items = new Items();
    const priorities = [chat('a'), chat('b', Priority.PRIORITY_HIGH)].map((one) => {
      const item = items.read(one);
      return item.type === 'chat' && item.chat.priority;
    });
    expect(priorities).toEqual([Priority.PRIORITY_LOW, Priority.PRIORITY_HIGH]);
  });

  it('fails alone where it is repeated, asks for nothing, or has a window that is too late', () => {
    const items = new Items();
    expect(items.read(chat('a')).type).toBe('chat');
    expect(violationOf(items.read(chat('a')))).toBe('id must be once in a batch, received one that was there before');
    expect(violationOf(items.read(bytes({ id: 'b' })))).toBe('item must be chat or embed, received neither');
    expect(violationOf(items.read(bytes({ id: 'c', window: 7 })))).toBe(
      'window must be in the first request alone, received 7 in another',
    );
  });

  it('fails alone where it can be read no further than its id', () => {
    const broken = Buffer.concat([chat('broken'), Buffer.from([0x12, 0xff])]);
    expect(new Items().read(broken)).toMatchObject({ type: 'refused', id: 'broken', fault: { reason: 'INVALID_REQUEST' } });
    const noText = Buffer.concat([chat('no-text'), Buffer.from([0x12, 4, 0x0a, 2, 0x12, 0xff])]);
    expect(new Items().read(noText)).toMatchObject({ type: 'refused', id: 'no-text' });
  });

  it.each([
    ['no id', bytes({})],
    ['one that is too long', chat('x'.repeat(129))],
    ['one that is not printable', chat('a b')],
    ['bytes that are none of ours', Buffer.from([0xff, 0xff, 0xff])],
  ])('with %s ends the batch', (_, request) => {
    expect(() => new Items().read(request)).toThrow(/^id must be 1 to 128 printable ASCII characters, received .* in request 1$/);
  });

  it.each([0, 1025, 4_294_967_295])('with the window %d ends the batch', (window) => {
    expect(() => new Items().read(bytes({ id: 'a', window }))).toThrow(`window must be from 1 to 1024, received ${window}`);
  });

  it('is known to be repeated among the last 65,536, and memory holds at most twice as many', () => {
    const items = new Items();
    let next = 0;
    const read = (count: number) => {
      for (let i = 0; i < count; i++) items.read(chat(`i${next++}`));
    };
    const isRepeated = (id: string) => violationOf(items.read(bytes({ id }))).includes('once in a batch');
    read(IDS_REMEMBERED + 10);
    expect(isRepeated('i10')).toBe(true);
    expect(isRepeated('i0')).toBe(true);
    read(IDS_REMEMBERED);
    expect(isRepeated('i0')).toBe(false);
  });

  it('whatever its bytes are, is read, fails alone, or ends the batch with a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        try {
          const { id } = new Items().read(Buffer.from(random));
          expect(id).toMatch(/^[\x21-\x7e]{1,128}$/);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Fault);
        }
      }),
    );
  });
});

describe('the window', () => {
  const windowOf = (load: { slots: number; busy: number }, own = { batches: 1, running: 0 }, clock = new FakeClock()) =>
    new Window({ clock, load: () => ({ ...load, ...own }) });
  const nothing = new Set<never>();

  it('is what the batch says', () => {
    expect(windowOf({ slots: 4, busy: 4 }).size(7, nothing)).toBe(7);
  });

  it('is half as many again as there are slots, shared by the batches', () => {
    expect(windowOf({ slots: 4, busy: 6 }, { batches: 1, running: 6 }).size(undefined, nothing)).toBe(6);
    expect(windowOf({ slots: 1, busy: 0 }).size(undefined, nothing)).toBe(2);
    expect(windowOf({ slots: 8, busy: 12 }, { batches: 3, running: 12 }).size(undefined, nothing)).toBe(4);
  });

  it('is at least one and at most 1,024', () => {
    expect(windowOf({ slots: 0, busy: 0 }).size(undefined, nothing)).toBe(1);
    expect(windowOf({ slots: 100_000, busy: 0 }).size(undefined, nothing)).toBe(1024);
    expect(windowOf({ slots: 4, busy: 400 }).size(undefined, nothing)).toBe(1);
  });

  it('leaves others the slots that they used at most in the last 10 s', () => {
    const clock = new FakeClock();
    const load = { slots: 8, busy: 0 };
    const own = { batches: 1, running: 0 };
    const window = windowOf(load, own, clock);
    const size = () => window.size(undefined, nothing);
    expect(size()).toBe(12);
    Object.assign(load, { busy: 3 });
    expect(size()).toBe(5);
    Object.assign(load, { busy: 1 });
    clock.advance(5000);
    expect(size()).toBe(5);
    clock.advance(5001);
    expect(size()).toBe(7);
    Object.assign(load, { busy: 4 });
    Object.assign(own, { running: 4 });
    clock.advance(10_001);
    expect(size()).toBe(12);
  });
});

describe('an answer that nobody reads along', () => {
  const event = (value: Parameters<typeof ChatResponse.fromPartial>[0]) =>
    framed(ChatResponse.encode(ChatResponse.fromPartial(value)).finish());
  const delta = (seq: number, text: string) => event({ event: { $case: 'delta', value: { seq, tokens: 1, text } } });
  const started = event({ event: { $case: 'started', value: { requestId: 'r', model: 'm' } } });
  const finished = event({ event: { $case: 'finished', value: { reason: FinishReason.FINISH_REASON_STOP } } });

  it('is there as a whole when it has ended, however it came', async () => {
    const collector = new Collector();
    collector.write(Buffer.concat([started, delta(0, 'a')]));
    collector.write(delta(1, 'ü'));
    collector.write(Buffer.concat([delta(2, '🙂'), finished]));
    collector.end();
    expect(await collector.outcome).toMatchObject({
      $case: 'answer',
      value: { text: 'aü🙂', started: { requestId: 'r' }, finished: { reason: FinishReason.FINISH_REASON_STOP } },
    });
  });

  it('lets its source go on when that asks for notice', async () => {
    const collector = new Collector();
    const released = new Promise<void>((resolve) => {
      collector.onRelease = resolve;
    });
    collector.write(started, true);
    await released;
  });

  it('that grows too long for a message is given up, and told why', async () => {
    const collector = new Collector();
    collector.onGone = () => collector.fail(new Fault('CANCELLED', 'the client left'));
    for (let i = 0; collector.open && i < 100; i++) collector.write(delta(i, 'x'.repeat(100_000)));
    expect(collector.open).toBe(false);
    await expect(collector.outcome).rejects.toMatchObject({ reason: 'UNSUPPORTED' });
  });

  it('that grows too long with its last piece is told so as well', async () => {
    const collector = new Collector();
    const bulky = event({
      event: { $case: 'delta', value: { tokens: 1, text: 'x'.repeat(1000), tokenIds: Array(30_000).fill(1) } },
    });
    collector.write(started);
    for (let size = 0; size + bulky.length < 4 << 20; size += bulky.length) collector.write(bulky);
    collector.write(Buffer.concat([bulky, finished]));
    collector.end();
    await expect(collector.outcome).rejects.toMatchObject({ reason: 'UNSUPPORTED' });
  });

  it('fails as it failed', async () => {
    const collector = new Collector();
    collector.fail(new Fault('NO_NODE', 'nobody'));
    await expect(collector.outcome).rejects.toMatchObject({ reason: 'NO_NODE' });
  });
});
