/**
 * The models of a node: which are in memory, which could be, and the commands that change that. Those about one model go
 * one after the other.
 */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import type { NodeEvent, Tell } from '../../telemetry/events.ts';
import type { EngineState } from '../engine/engine.ts';
import { alreadyHas, differentVersion, nameIn, notInMemory, resting, shuttingDown, tooMany, unknown } from './faults.ts';
import { Place } from './place.ts';
import type { ShelfClock } from './resident.ts';
import { Resident } from './resident.ts';
import type { RoomLimits } from './room.ts';
import { Room, WAITING } from './room.ts';
import type { ModelSource, PreparedModel } from './source.ts';
import { Turns } from './turns.ts';
import type { LoadWish, ModelShelf, OnStep, SwapWish } from './view.ts';

const MOST_COMMANDS = 256;
const DONE = { stage: ModelStage.MODEL_STAGE_DONE, fraction: 1 } as const;
/** They say nothing against the model. */
const PASSING: ReadonlySet<string> = new Set(['NO_ROOM', 'CANCELLED', 'DRAINING']);

type Why = Extract<NodeEvent, { type: 'model_unloading' }>['why'];

export interface ShelfParts extends RoomLimits {
  readonly source: ModelSource;
  /** Memory that an engine's process holds; 0 where that cannot be told. */
  readonly measure: (pid: number) => number;
  readonly clock: ShelfClock;
  readonly tell: Tell<NodeEvent>;
  /** Every state of an engine, loading with its fraction too. */
  readonly onEngine?: ((model: string, state: EngineState) => void) | undefined;
}

export class Shelf implements ModelShelf {
  readonly #parts: ShelfParts;
  readonly #places = new Map<string, Place>();
  readonly #listeners = new Set<() => void>();
  readonly #turns = new Turns();
  readonly #room: Room;
  readonly #commands = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  #held: string | undefined;
  #starting = true;
  /** Of engines that are gone. */
  #crashes = 0;

  constructor(parts: ShelfParts) {
    this.#parts = parts;
    const { budgetBytes, freeBytes, clock } = parts;
    this.#room = new Room({
      budgetBytes,
      freeBytes,
      clock,
      places: () => this.models,
      busy: ({ name }) => this.#turns.taken(name),
      evict: (place) => this.#turns.take([place.name], () => this.#retire(place, place.close(), 0, 'room')),
      signal: this.#ending.signal,
    });
  }

  get models(): readonly Place[] {
    return [...this.#places.values()];
  }

  place(name: string): Place | undefined {
    return this.#places.get(name);
  }

  /** The models that the node begins with are on their way. */
  get starting(): boolean {
    return this.#starting;
  }

  /** All that the node begins with has come, or not. */
  started(): void {
    this.#starting = false;
    this.#changed();
  }

  /** How often engines died since the shelf was made. */
  get crashes(): number {
    return this.models.reduce((sum, { crashes }) => sum + crashes, this.#crashes);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Makes a model known that is not in memory. */
  announce(model: PreparedModel): void {
    this.#placeOf(model);
    this.#changed();
  }

  #placeOf(model: PreparedModel): Place {
    const { name } = model.served;
    const place = this.#places.get(name) ?? new Place(model, this.#parts.clock.now());
    this.#places.set(name, place);
    return place;
  }

  async load(model: string, wish: LoadWish, onStep: OnStep = () => {}): Promise<void> {
    const name = nameIn(model);
    if (wish.onDemand) this.#checkDemand(this.#places.get(name));
    await this.#command([name], onStep, () => this.#load(model, wish, onStep), name);
  }

  async unload(model: string, limitMs: number, onStep: OnStep = () => {}): Promise<void> {
    const known = this.#places.get(model);
    if (!known) throw unknown(model);
    // A server that is away would be waited for.
    if (known.coming?.remote) void known.coming.dispose();
    await this.#command([model], onStep, async () => {
      // One that nobody announced is forgotten where its load fails, and comes with the next as another.
      const place = this.#places.get(model);
      if (place) await this.#retire(place, place.close(), limitMs, 'asked', onStep);
    });
  }

  async swap(from: string, to: string, wish: SwapWish, onStep: OnStep = () => {}): Promise<void> {
    const names = [...new Set([from, nameIn(to)])];
    await this.#command(names, onStep, () => this.#swap(from, to, wish, onStep), nameIn(to));
  }

  hold(why: string | undefined): void {
    this.#held = why;
  }

  async dispose(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.models.flatMap(({ residents }) => residents).map((resident) => resident.dispose()));
    await Promise.allSettled(this.#commands);
  }

  /** @param wanted the name of what it brings into memory */
  #command(names: readonly string[], onStep: OnStep, work: () => Promise<void>, wanted?: string): Promise<void> {
    if (this.#ending.signal.aborted) throw shuttingDown();
    if (this.#commands.size >= MOST_COMMANDS) throw tooMany(MOST_COMMANDS);
    const command = this.#obey(names, onStep, work, wanted);
    this.#commands.add(command);
    const over = () => this.#commands.delete(command);
    command.then(over, over);
    return command;
  }

  async #obey(names: readonly string[], onStep: OnStep, work: () => Promise<void>, wanted = ''): Promise<void> {
    const { signal } = this.#ending;
    const place = this.#places.get(wanted);
    this.#want(place, 1);
    try {
      const turn = () => (signal.aborted ? Promise.reject(shuttingDown()) : work());
      await this.#turns.take(names, turn, () => onStep(WAITING));
    } catch (thrown) {
      throw signal.aborted ? shuttingDown() : toFault(thrown);
    } finally {
      this.#want(place, -1);
    }
    onStep(DONE);
  }

  #want(place: Place | undefined, more: 1 | -1): void {
    if (!place) return;
    const before = place.state;
    place.wanted += more;
    if (place.state !== before) this.#changed();
  }

  /** @throws Fault where requests that wait are no reason to load */
  #checkDemand(place: Place | undefined): void {
    if (place?.current) return;
    if (this.#held !== undefined) throw new Fault('NO_ROOM', `nothing is loaded on demand: ${this.#held}`);
    const restMs = (place?.restsUntil ?? 0) - this.#parts.clock.now();
    if (place && restMs > 0) throw resting(place.name, restMs);
  }

  async #load(model: string, wish: LoadWish, onStep: OnStep): Promise<void> {
    const place = this.#places.get(nameIn(model));
    if (this.#isThere(place, model)) return;
    if (wish.onDemand) this.#checkDemand(place);
    this.#serve(await this.#bringIn(model, wish, onStep));
  }

  /** @throws Fault INVALID_REQUEST where another version of it is there */
  #isThere(place: Place | undefined, model: string): boolean {
    if (!place?.current) return false;
    if (!alreadyHas(model, place.served)) throw differentVersion(model, place.served);
    return true;
  }

  async #swap(from: string, to: string, { pull, limitMs }: SwapWish, onStep: OnStep): Promise<void> {
    const place = this.#places.get(from);
    if (!place?.current) throw notInMemory(from);
    const same = nameIn(to) === from;
    if (same || !this.#isThere(this.#places.get(nameIn(to)), to)) {
      const slots = same ? place.served.slots : undefined;
      const before = this.#serve(await this.#bringIn(to, { pull, slots }, onStep));
      if (same) return this.#retire(place, before, limitMs, 'swapped', onStep);
    }
    await this.#retire(place, place.close(), limitMs, 'swapped', onStep);
  }

  /** Into memory, beside whatever is there, but not yet at work. */
  async #bringIn(model: string, wish: LoadWish, onStep: OnStep): Promise<Resident> {
    const { slots, pull = false } = wish;
    const { signal } = this.#ending;
    const onProgress = (fraction: number) => onStep({ stage: ModelStage.MODEL_STAGE_PULLING, fraction });
    try {
      const prepared = await this.#parts.source.prepare(model, { slots, pull, signal, onProgress });
      return await this.#room.enter(prepared, wish, onStep, () => this.#start(prepared, onStep));
    } catch (thrown) {
      const fault = toFault(thrown);
      this.#failed(nameIn(model), fault);
      throw fault;
    }
  }

  async #start(prepared: PreparedModel, onStep: OnStep): Promise<Resident> {
    if (this.#ending.signal.aborted) throw shuttingDown();
    const { clock, measure, tell } = this.#parts;
    const known = this.#places.has(prepared.served.name);
    const place = this.#placeOf(prepared);
    tell({ type: 'model_loading', model: place.name });
    const onState = (state: EngineState) => this.#engineChanged(place, resident, state);
    const resident: Resident = new Resident(prepared, { clock, measure, onState });
    place.coming = resident;
    this.#changed();
    try {
      await resident.start(onStep);
      return resident;
    } catch (thrown) {
      await resident.dispose();
      this.#crashes += resident.engine.crashes;
      place.coming = undefined;
      if (!known) this.#places.delete(place.name);
      this.#room.left();
      throw thrown;
    }
  }

  #failed(model: string, { reason, message }: Fault): void {
    if (!PASSING.has(reason)) this.#places.get(model)?.failed(this.#parts.clock.now());
    if (!this.#ending.signal.aborted) this.#parts.tell({ type: 'model_load_failed', model, reason, message });
    this.#changed();
  }

  /** @returns who had the place before, and leaves now */
  #serve(resident: Resident): Resident | undefined {
    const place = this.#places.get(resident.served.name) as Place;
    const before = place.serve(resident);
    this.#tellReady(resident);
    this.#changed();
    return before;
  }

  #tellReady({ served, loadMs, memoryBytes }: Resident): void {
    const { name: model, slots, prefillTokensPerSecond, decodeTokensPerSecond } = served;
    const rates = { prefillTokensPerSecond, decodeTokensPerSecond };
    const engine = `${served.engine} ${served.engineVersion}`.trim();
    this.#parts.tell({ type: 'engine_ready', model, engine, slots, ...rates, loadMs, memoryBytes });
  }

  async #retire(
    place: Place,
    resident: Resident | undefined,
    limitMs: number,
    why: Why,
    onStep: OnStep = () => {},
  ): Promise<void> {
    if (!resident) return;
    const { name: model } = place;
    this.#parts.tell({ type: 'model_unloading', model, why, inFlight: resident.taken });
    this.#changed();
    await resident.drain(limitMs, onStep, this.#ending.signal);
    await resident.dispose();
    this.#crashes += resident.engine.crashes;
    place.gone(resident);
    this.#room.left();
    this.#parts.tell({ type: 'model_unloaded', model, freedBytes: resident.memoryBytes });
    this.#changed();
  }

  #engineChanged(place: Place, resident: Resident, state: EngineState): void {
    const { tell, onEngine } = this.#parts;
    onEngine?.(place.name, state);
    // Progress of loading is no news to a router.
    if (state.type === 'loading') return;
    if (state.type === 'ready') {
      // One that has just been loaded is told of when it takes over.
      if (place.current !== resident) return;
      this.#tellReady(resident);
    }
    if (state.type === 'crashed') {
      tell({ type: 'engine_crashed', model: place.name, message: state.message, restartInMs: state.restartInMs });
    }
    this.#changed();
  }
}
