/** The batches that are open here, and what they share: the fleet's slots, and the end of the router. */
import { Fault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { HOP_MARGIN_MS, MAX_DEADLINE_MS } from '../../proto/transport/deadline.ts';
import type { EventStream } from '../../proto/transport/event-stream.ts';
import type { CallContext } from '../../proto/transport/handlers.ts';
import type { Incoming } from '../../proto/transport/incoming.ts';
import type { WaitingRoom } from '../admit/waiting-room.ts';
import type { Clock } from '../clock.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { targetOf } from '../request.ts';
import type { Target } from '../select/candidate.ts';
import { isTarget } from '../select/filters.ts';
import type { Callers } from '../trust/callers.ts';
import { Batch } from './batch.ts';
import type { Begin } from './errands.ts';
import type { Item } from './items.ts';
import { kindOf } from './items.ts';
import type { Load } from './window.ts';
import { Window } from './window.ts';

/** An embed is one text, often, and a node's engine takes those of several at once. */
const EMBEDS_PER_SLOT = 16;

export interface BatchesParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly callers: Pick<Callers, 'tenantOf'>;
  readonly fleet: Pick<Fleet, 'links'>;
  readonly room: Pick<WaitingRoom<unknown>, 'lengthOf'>;
  /** Of the embedding model in use. */
  readonly embeddingModel: () => string | undefined;
  readonly begin: Begin;
}

export class Batches {
  readonly #parts: BatchesParts;
  readonly #open = new Set<Batch>();
  #draining = false;

  constructor(parts: BatchesParts) {
    this.#parts = parts;
  }

  /** Resolves when the call has ended. @throws Fault UNAUTHENTICATED, FORBIDDEN, DEADLINE_EXCEEDED or DRAINING */
  async serve(requests: Incoming, stream: EventStream, context: CallContext): Promise<void> {
    const { callers, clock } = this.#parts;
    callers.tenantOf(context);
    if (this.#draining) throw draining();
    const budgetMs = Math.min(context.remainingMs ?? MAX_DEADLINE_MS, MAX_DEADLINE_MS);
    if (budgetMs <= 0) throw timeIsOver();
    // What became of the last items is still to reach their client in time.
    const deadlineAt = clock.now() + budgetMs - Math.min(HOP_MARGIN_MS, budgetMs / 2);
    const window = new Window({ clock, load: (working) => this.#load(working) });
    const batch = new Batch({ ...this.#parts, requests, stream, context, deadlineAt, window });
    const stopTimer = clock.after(deadlineAt - clock.now(), () => batch.close(timeIsOver()));
    this.#open.add(batch);
    try {
      await batch.run();
    } finally {
      stopTimer();
      this.#open.delete(batch);
    }
  }

  /** Takes no more items in; those that are at work may end, and their clients go on at another router. */
  drain(): void {
    this.#draining = true;
    for (const batch of this.#open) batch.close(draining());
  }

  /** Of what those at work ask for; the items that follow are taken to be like them. */
  #load(working: ReadonlySet<Item>): Load {
    const { fleet, room } = this.#parts;
    const serves = this.#servesFor(working);
    const models = new Map<string, ServedModel>();
    let slots = 0;
    let busy = 0;
    for (const link of fleet.links) {
      for (const model of link.models) {
        const weight = serves(model);
        // What is not in memory is not to be loaded by the length of a batch.
        if (weight === 0 || !link.serves(model.name)) continue;
        slots += weight * model.slots;
        busy += link.reservations.of(model.name).requests;
        models.set(model.name, model);
      }
    }
    for (const name of models.keys()) busy += room.lengthOf(name);
    return { slots, busy, ...this.#atWorkBy([...models.values()]) };
  }

  /** Of all batches, what one of the models may be doing. */
  #atWorkBy(models: readonly ServedModel[]): Pick<Load, 'running' | 'batches'> {
    const known = new Map<string, boolean>();
    const isTheirs = (item: Item) => {
      const kind = kindOf(item);
      const isKnown = known.get(kind) ?? models.some(this.#servesFor([item]));
      known.set(kind, isKnown);
      return isKnown;
    };
    let running = 0;
    let batches = 0;
    for (const batch of this.#open) {
      let own = 0;
      for (const item of batch.running) if (isTheirs(item)) own++;
      running += own;
      if (own > 0) batches++;
    }
    return { running, batches };
  }

  /** @returns items for each slot of a model */
  #servesFor(items: Iterable<Item>): (model: ServedModel) => number {
    const chats = new Map<string, Target>();
    let embeds: string | undefined;
    for (const item of items) {
      if (item.type === 'embed') embeds = this.#parts.embeddingModel();
      if (item.type === 'chat') chats.set(kindOf(item), targetOf(item.chat));
    }
    return (model) => {
      if (model.name === embeds) return EMBEDS_PER_SLOT;
      for (const target of chats.values()) if (isTarget(model, target)) return 1;
      return 0;
    };
  }
}

const draining = () => new Fault('DRAINING', 'the router is shutting down');
const timeIsOver = () => new Fault('DEADLINE_EXCEEDED', 'the deadline of the batch passed before its end');
