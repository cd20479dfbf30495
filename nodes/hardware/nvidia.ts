/** NVIDIA's GPUs as their tool tells of them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Gpu, GpuUse } from '../../proto/gen/infermesh/v1/types.ts';

/** A driver that is being reset can hang its tool for minutes. */
const LIMIT_MS = 3_000;
const MIB = 1024 * 1024;

export interface ToolOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** None where the tool is not installed, has no driver, or is too slow: nothing that could be used. */
export async function nvidiaGpus(options?: ToolOptions): Promise<Gpu[]> {
  return parseNvidiaGpus(await query('name,memory.total', options));
}

/** In the order of `nvidiaGpus`. */
export async function nvidiaUses(options?: ToolOptions): Promise<GpuUse[]> {
  return parseNvidiaUses(await query('utilization.gpu,memory.used,temperature.gpu,power.draw', options));
}

async function query(fields: string, { env = process.env, signal }: ToolOptions = {}): Promise<string> {
  const asked = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'];
  const options = { timeout: LIMIT_MS, killSignal: 'SIGKILL', env, signal } as const;
  const answer = promisify(execFile)('nvidia-smi', asked, options);
  return answer.then(
    ({ stdout }) => stdout,
    () => '',
  );
}

/** @param csv a line per GPU: name, memory in MiB. Memory that the driver doesn't tell ([N/A]) is 0. */
export function parseNvidiaGpus(csv: string): Gpu[] {
  const lines = csv.split('\n').map((line) => /^(.+),\s*(\d+|\[[^\]]+\])\s*$/.exec(line.trim()));
  return lines.flatMap((match) =>
    match ? [{ name: match[1]!.trim(), backend: 'cuda', memoryBytes: (Number(match[2]) || 0) * MIB }] : [],
  );
}

/** @param csv a line per GPU: use in per cent, memory in MiB, degrees Celsius, watts; any of them may be [N/A] or the like */
export function parseNvidiaUses(csv: string): GpuUse[] {
  return csv.split('\n').flatMap((line) => {
    const fields = line.split(',').map((field) => field.trim());
    if (fields.length !== 4) return [];
    const [percent, mib, temperature, power] = fields.map(figureOf);
    const use = percent === undefined ? undefined : percent / 100;
    return [{ use, memoryUsedBytes: (mib ?? 0) * MIB, temperature, power }];
  });
}

function figureOf(field: string): number | undefined {
  return /^\d+(?:\.\d+)?$/.test(field) ? Number(field) : undefined;
}
