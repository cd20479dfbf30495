/** A shelf whose models load, crash and fail as a test says, in time that the test turns. */
import { setImmediate as turn } from 'node:timers/promises';
import { Shelf } from '../../../nodes/shelf/shelf.ts';
import type { PreparedModel } from '../../../nodes/shelf/source.ts';
import type { LoadWish, ModelStep } from '../../../nodes/shelf/view.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import type { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent } from '../../../telemetry/events.ts';
import { FakeClock } from '../../support/clock.ts';
import { FakeEngine, servedModel } from '../fakes.ts';

export interface ModelFacts {
  readonly bytes: number;
  readonly loadMs?: number;
  readonly digest?: string;
  readonly remote?: boolean;
  /** What becomes of a load. */
  fails?: boolean;
}

/** An engine that is ready some time after it was started. */
export class TimedEngine extends FakeEngine {
  readonly facts: ModelFacts;
  readonly served: ServedModel;
  readonly #clock: FakeClock;
  started = false;

  constructor(served: ServedModel, facts: ModelFacts, clock: FakeClock) {
    super();
    this.served = served;
    this.facts = facts;
    this.#clock = clock;
  }

  override start(): Promise<ServedModel> {
    this.started = true;
    this.#clock.after(this.facts.loadMs ?? 100, () => {
      if (this.state.type !== 'loading') return;
      if (this.facts.fails) this.become({ type: 'disposed' });
      else this.become({ type: 'ready', model: this.served });
    });
    return super.start();
  }

  /** Its memory is taken. */
  get alive(): boolean {
    return this.started && this.state.type !== 'disposed';
  }
}

/** A command, with what was told of it and how it ended. */
export class Asked {
  readonly steps: ModelStep[] = [];
  readonly done: Promise<void>;
  outcome: 'done' | Fault | undefined;
  ends = 0;
  late = 0;

  constructor(run: (onStep: (step: ModelStep) => void) => Promise<void>) {
    const end = (outcome: 'done' | Fault) => {
      this.ends++;
      this.outcome = outcome;
    };
    this.done = run((step) => {
      this.steps.push(step);
      if (this.ends > 0) this.late++;
    }).then(() => end('done'), end);
  }

  get reason(): string | undefined {
    return this.outcome instanceof Fault ? this.outcome.reason : this.outcome;
  }
}

export class ShelfWorld {
  readonly clock = new FakeClock();
  readonly engines: TimedEngine[] = [];
  readonly events: NodeEvent[] = [];
  readonly shelf: Shelf;
  readonly facts: Readonly<Record<string, ModelFacts>>;
  free = Number.POSITIVE_INFINITY;

  /** @param facts by NAME or NAME@DIGEST; those with a plain name are announced */
  constructor(facts: Readonly<Record<string, ModelFacts>>, budgetBytes: number) {
    this.facts = facts;
    this.shelf = new Shelf({
      source: { prepare: async (model, { slots }) => this.#prepared(model, slots) },
      budgetBytes,
      freeBytes: () => this.free,
      measure: () => 0,
      clock: this.clock,
      tell: (event) => this.events.push(event),
    });
    for (const name of Object.keys(facts)) if (!name.includes('@')) this.shelf.announce(this.#prepared(name));
  }

  #prepared(model: string, slots = 2): PreparedModel {
    const facts = this.facts[model];
    if (!facts) throw new Fault('MODEL_NOT_FOUND', 'the test has no such model');
    const served = servedModel({ name: model.replace(/@.*/, ''), digest: `sha256:${facts.digest ?? ''}`, slots });
    const makeEngine = () => {
      const engine = new TimedEngine(served, facts, this.clock);
      this.engines.push(engine);
      return engine;
    };
    return { served, needBytes: facts.bytes, remote: facts.remote ?? false, makeEngine };
  }

  load(model: string, wish: LoadWish = {}): Asked {
    return new Asked((onStep) => this.shelf.load(model, wish, onStep));
  }

  unload(model: string, limitMs = 0): Asked {
    return new Asked((onStep) => this.shelf.unload(model, limitMs, onStep));
  }

  swap(from: string, to: string, limitMs = 0): Asked {
    return new Asked((onStep) => this.shelf.swap(from, to, { limitMs }, onStep));
  }

  /** Lets time pass, with all that follows at each of its steps. */
  async pass(ms: number): Promise<void> {
    await turn();
    const step = Math.max(50, ms / 100);
    for (let left = ms; left > 0; left -= step) {
      this.clock.advance(Math.min(step, left));
      await turn();
    }
  }

  get states(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.shelf.models.map(({ name, state }) => [name, state]));
  }

  /** Of engines that are there. */
  get bytes(): number {
    return this.engines.filter(({ alive }) => alive).reduce((sum, { facts }) => sum + facts.bytes, 0);
  }
}

/** Work that the test ends, on whatever engine takes the model's work now. */
export class FakeWork {
  readonly engine: TimedEngine;
  handedBack = false;
  ended = false;
  #over = () => {};

  private constructor(engine: TimedEngine) {
    this.engine = engine;
  }

  static begin(world: ShelfWorld, model: string, canary = false): FakeWork | undefined {
    const resident = world.shelf.place(model)?.current;
    return resident?.begin((over) => {
      const work = new FakeWork(resident.engine as TimedEngine);
      work.#over = over;
      return work;
    }, canary);
  }

  over(): void {
    this.ended = true;
    this.#over();
  }

  handBack(): void {
    this.handedBack = true;
    this.over();
  }
}
