/** Accelerators, found without loading any of their libraries: by nvidia-smi, and by what amdgpu tells in /sys. */
import { execFile } from 'node:child_process';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Gpu } from '../../proto/gen/infermesh/v1/types.ts';

/** A driver that is being reset can hang its tool for minutes. */
const NVIDIA_SMI_MS = 3_000;
const QUERY = ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits'];
const AMD_VENDOR = '0x1002';
const MIB = 1024 * 1024;

export async function findGpus(env: NodeJS.ProcessEnv = process.env, root = '/'): Promise<Gpu[]> {
  const [nvidia, amd] = await Promise.all([findNvidia(env), findAmd(root)]);
  return [...nvidia, ...amd];
}

async function findNvidia(env: NodeJS.ProcessEnv): Promise<Gpu[]> {
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', QUERY, { timeout: NVIDIA_SMI_MS, killSignal: 'SIGKILL', env });
    return parseNvidiaSmi(stdout);
  } catch {
    return []; // Not installed, no driver, or too slow: nothing that could be used.
  }
}

/** @param csv a line per GPU: name, memory in MiB. Memory that the driver doesn't tell ([N/A]) is 0. */
export function parseNvidiaSmi(csv: string): Gpu[] {
  const lines = csv.split('\n').map((line) => /^(.+),\s*(\d+|\[[^\]]+\])\s*$/.exec(line.trim()));
  return lines.flatMap((match) =>
    match ? [{ name: match[1]!.trim(), backend: 'cuda', memoryBytes: (Number(match[2]) || 0) * MIB }] : [],
  );
}

/** The kernel's amdgpu driver gives memory per card; /dev/kfd is there when ROCm's part of it is on. */
async function findAmd(root: string): Promise<Gpu[]> {
  const drm = join(root, 'sys/class/drm');
  const cards = (await readdir(drm).catch(() => [])).filter((name) => /^card\d+$/.test(name)).sort();
  const rocm = await access(join(root, 'dev/kfd'))
    .then(() => true)
    .catch(() => false);
  const found = await Promise.all(cards.map((card) => readAmd(join(drm, card, 'device'), rocm ? 'rocm' : 'vulkan')));
  return found.flat();
}

async function readAmd(device: string, backend: string): Promise<Gpu[]> {
  const [vendor, product, id, memory] = await Promise.all(
    ['vendor', 'product_name', 'device', 'mem_info_vram_total'].map((file) => textOf(join(device, file))),
  );
  const memoryBytes = Number(memory);
  if (vendor !== AMD_VENDOR || !(memoryBytes > 0)) return [];
  return [{ name: product || `AMD GPU ${id}`, backend, memoryBytes }];
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8')
    .then((text) => text.trim())
    .catch(() => '');
}
