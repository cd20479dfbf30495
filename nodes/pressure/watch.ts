/** Looks at memory each second, and does what `pressure.ts` says: with the models of the shelf, in reports, in the log. */
import type { Gpu, Pressure as Report } from '../../proto/gen/infermesh/v1/types.ts';
import { PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';
import type { NodeEvent, Tell } from '../../telemetry/events.ts';
import type { LimitedMemory } from '../../telemetry/host/memory.ts';
import { fullest, useOf } from '../../telemetry/host/memory.ts';
import type { GpuWatch } from '../hardware/gpu.ts';
import { realEvery } from '../real-every.ts';
import type { ModelShelf } from '../shelf/view.ts';
import type { TightestGpu } from './gpu-memory.ts';
import { tightestGpu } from './gpu-memory.ts';
import { largestIdle } from './idle.ts';
import type { Marks, Move } from './pressure.ts';
import { Pressure } from './pressure.ts';

const LOOK_EVERY_MS = 1_000;

export interface PressureParts {
  readonly marks: Marks;
  readonly memory: () => readonly LimitedMemory[];
  readonly hardware: { readonly gpus: readonly Pick<Gpu, 'memoryBytes'>[] };
  readonly gpus: Pick<GpuWatch, 'uses'>;
  readonly shelf: Pick<ModelShelf, 'models' | 'unload' | 'hold'>;
  /** For work that comes to a model that is on its way out. */
  readonly drainMs: number;
  readonly tell: Tell<NodeEvent>;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  /** Returns the cancel. */
  readonly every?: (ms: number, run: () => void) => () => void;
}

export class PressureWatch {
  readonly #parts: PressureParts;
  readonly #pressure: Pressure;
  readonly #stop: () => void;
  readonly #listeners = new Set<() => void>();
  /** The fullest. */
  #memory: LimitedMemory;
  /** On their way out. */
  readonly #unloading = new Set<string>();

  constructor(parts: PressureParts) {
    const { marks, memory, every = realEvery } = parts;
    this.#parts = parts;
    this.#pressure = new Pressure(marks);
    this.#memory = fullest(memory());
    this.#stop = every(LOOK_EVERY_MS, () => this.#look());
  }

  /** New work is refused. */
  get sheds(): boolean {
    return this.#pressure.steps.includes('shed');
  }

  /** For reports, as of the last look. */
  get report(): Report {
    const { level, steps } = this.#pressure;
    const { limitBytes } = this.#short;
    return { level, use: Math.min(1, useOf(this.#short)), limitBytes, steps: [...steps] };
  }

  /** The memory that is short, or nearest to it: a GPU's only where that is all that is short. */
  get #short(): LimitedMemory {
    const { marks } = this.#parts;
    const gpu = this.#gpu;
    return gpu && gpu.standing !== 'free' && useOf(this.#memory) < marks.high ? gpu.memory : this.#memory;
  }

  get #gpu(): TightestGpu | undefined {
    const { hardware, gpus } = this.#parts;
    return tightestGpu(hardware.gpus, gpus.uses);
  }

  /** Called after each step, taken or given back. Returns the unsubscribe. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#stop();
  }

  #look(): void {
    const { memory, shelf, now = monotonic } = this.#parts;
    this.#memory = fullest(memory());
    const models = shelf.models.filter(({ name }) => !this.#unloading.has(name));
    const idle = { memory: largestIdle(models, 'memory'), gpu: largestIdle(models, 'gpu') };
    const look = {
      at: now(),
      use: useOf(this.#memory),
      stalled: this.#memory.stalled,
      gpu: this.#gpu?.standing ?? 'free',
      acting: this.#unloading.size > 0,
    };
    const move = this.#pressure.next(look, { memory: idle.memory.kind, gpu: idle.gpu.kind });
    if (!move) return;
    const model = 'of' in move ? idle[move.of].name : undefined;
    this.#moved(move, model);
    if (model !== undefined) void this.#unload(model);
  }

  #moved({ type, step }: Move, model: string | undefined): void {
    const { shelf, tell } = this.#parts;
    const { level, steps } = this.#pressure;
    const { usedBytes, limitBytes } = this.#short;
    const facts = { step, level: LEVELS[level], usedBytes, limitBytes };
    tell(type === 'take' ? { type: 'pressure_step', ...facts, model } : { type: 'pressure_step_back', ...facts });
    shelf.hold(steps.length > 0 ? 'the node is short of memory' : undefined);
    for (const listener of [...this.#listeners]) listener();
  }

  async #unload(model: string): Promise<void> {
    const { shelf, drainMs } = this.#parts;
    this.#unloading.add(model);
    // Another command may have come first; what is idle then shows at the next look.
    await shelf.unload(model, drainMs).catch(() => {});
    this.#unloading.delete(model);
  }
}

const LEVELS = {
  [PressureLevel.PRESSURE_LEVEL_UNSPECIFIED]: 'none',
  [PressureLevel.PRESSURE_LEVEL_NONE]: 'none',
  [PressureLevel.PRESSURE_LEVEL_HIGH]: 'high',
  [PressureLevel.PRESSURE_LEVEL_CRITICAL]: 'critical',
} as const;

const monotonic = () => performance.now();
