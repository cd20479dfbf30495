/** Accelerators and how busy they are, told without loading any of their libraries: by nvidia-smi, and by amdgpu's files. */
import type { Gpu, GpuUse } from '../../proto/gen/infermesh/v1/types.ts';
import { realEvery } from '../real-every.ts';
import { amdGpus, amdUses } from './amd.ts';
import { nvidiaGpus, nvidiaUses } from './nvidia.ts';

/** Each look at NVIDIA's is a process, and what it tells changes slowly. */
const LOOK_EVERY_MS = 5_000;

export async function findGpus(env: NodeJS.ProcessEnv = process.env, root = '/'): Promise<Gpu[]> {
  const [nvidia, amd] = await Promise.all([nvidiaGpus({ env }), amdGpus(root)]);
  return [...nvidia, ...amd];
}

export interface GpuWatch {
  /** As of the last look, in the order of the GPUs; empty before the first, and while the machine does not tell of all. */
  readonly uses: readonly GpuUse[];
  stop(): void;
}

export interface GpuWatchOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly root?: string;
  /** Told after each look. */
  readonly onLook?: () => void;
  /** Returns the cancel. */
  readonly every?: (ms: number, run: () => void) => () => void;
}

/** Looks at the GPUs that `findGpus` has found, never twice at the same time; a machine without any is never looked at. */
export function watchGpus(gpus: readonly Gpu[], { env, root, onLook, every = realEvery }: GpuWatchOptions = {}): GpuWatch {
  let uses: readonly GpuUse[] = [];
  if (gpus.length === 0) return { uses, stop: () => {} };
  const ended = new AbortController();
  const someAreNvidia = gpus.some(({ backend }) => backend === 'cuda');
  let looking = false;
  const look = async () => {
    if (looking) return;
    looking = true;
    const nvidia = someAreNvidia ? nvidiaUses({ env, signal: ended.signal }) : [];
    const found = (await Promise.all([nvidia, amdUses(root)])).flat();
    looking = false;
    if (ended.signal.aborted) return;
    uses = found.length === gpus.length ? found : [];
    onLook?.();
  };
  void look();
  const cancel = every(LOOK_EVERY_MS, () => void look());
  const stop = () => {
    cancel();
    ended.abort();
  };
  return {
    get uses() {
      return uses;
    },
    stop,
  };
}
