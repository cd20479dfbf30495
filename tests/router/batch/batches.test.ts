/** Several batches at once: how they share what there is, and what they leave to others. */
import { setImmediate as settled } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { BatchRequest } from '../../../proto/gen/infermesh/v1/inference.ts';
import type { EventStream } from '../../../proto/transport/event-stream.ts';
import type { Incoming } from '../../../proto/transport/incoming.ts';
import { Batches } from '../../../router/batch/batches.ts';
import { FakeClock, seeded } from '../../support/clock.ts';

const VECTORS = 'vectors';
const SLOTS = 4;

/** Nodes with four slots each of three models, where nothing ends; what others have at work there is the test's. */
class World {
  readonly others: Record<string, number> = {};
  /** Of batches, by model. */
  readonly begun: Record<string, number> = {};
  readonly #batches: Batches;

  constructor() {
    const models = ['one', 'two', VECTORS].map((name) => ({ name, slots: SLOTS, tasks: name === VECTORS ? ['embed'] : [] }));
    const requestsOf = (name: string) => (this.others[name] ?? 0) + (this.begun[name] ?? 0);
    const reservations = { of: (name: string) => ({ requests: requestsOf(name) }) };
    this.#batches = new Batches({
      clock: new FakeClock(),
      random: seeded(1),
      callers: { tenantOf: () => undefined },
      fleet: { links: [{ models, reservations, serves: () => true }] as never },
      room: { lengthOf: () => 0 },
      embeddingModel: () => VECTORS,
      begin: (item) => {
        const model = item.type === 'embed' ? VECTORS : String(item.chat.target?.value);
        this.begun[model] = (this.begun[model] ?? 0) + 1;
        return { outcome: new Promise(() => {}), cancel: () => {} };
      },
    });
  }

  /** A batch with so many items for a model; its client does not close its side. */
  async open(model: string, count: number): Promise<void> {
    const item =
      model === VECTORS
        ? { $case: 'embed' as const, value: { texts: ['a'] } }
        : { $case: 'chat' as const, value: { target: { $case: 'model' as const, value: model } } };
    const requests = Array.from({ length: count }, (_, i) => BatchRequest.fromPartial({ id: `i${i}`, item }));
    const next = () => {
      const request = requests.shift();
      return request ? Promise.resolve(Buffer.from(BatchRequest.encode(request).finish())) : new Promise(() => {});
    };
    const stream = { held: 0, write: () => {}, end: () => {}, fail: () => {} } as unknown as EventStream;
    const context = { metadata: () => undefined, remainingMs: undefined, certificateNames: () => [] };
    void this.#batches.serve({ next, stop: () => {} } as unknown as Incoming, stream, context);
    await settled();
  }
}

it('a batch shares its slots with those that ask for the same, and with no others', async () => {
  const world = new World();
  await world.open('one', 0);
  await world.open(VECTORS, 1000);
  await world.open('two', 100);
  expect(world.begun).toEqual({ [VECTORS]: 96, two: 6 });
  await world.open('two', 100);
  expect(world.begun.two).toBe(6 + 3);
});

it('whoever else uses its models is left their slots, however much batches do with others', async () => {
  const world = new World();
  world.others.one = 3;
  await world.open(VECTORS, 1000);
  await world.open('one', 100);
  expect(world.begun.one).toBe(1);
});
