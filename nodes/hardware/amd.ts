/** AMD's GPUs as the kernel's amdgpu driver tells of them; memory per card, sensors in the folder of their monitor. */
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Gpu, GpuUse } from '../../proto/gen/infermesh/v1/types.ts';

const VENDOR = '0x1002';

/** /dev/kfd is there when ROCm's part of the driver is on. */
export async function amdGpus(root = '/'): Promise<Gpu[]> {
  const rocm = await access(join(root, 'dev/kfd'))
    .then(() => true)
    .catch(() => false);
  return ofEachCard(root, (device, memoryBytes) => describe(device, memoryBytes, rocm ? 'rocm' : 'vulkan'));
}

/** In the order of `amdGpus`. */
export function amdUses(root = '/'): Promise<GpuUse[]> {
  return ofEachCard(root, readUse);
}

async function ofEachCard<Told>(root: string, tell: (device: string, memoryBytes: number) => Promise<Told>): Promise<Told[]> {
  const drm = join(root, 'sys/class/drm');
  const cards = (await readdir(drm).catch(() => [])).filter((name) => /^card\d+$/.test(name)).sort();
  const told = cards.map(async (card) => {
    const device = join(drm, card, 'device');
    const [vendor, memory] = await Promise.all([textOf(device, 'vendor'), figureOf(device, 'mem_info_vram_total')]);
    return vendor === VENDOR && memory ? [await tell(device, memory)] : [];
  });
  return (await Promise.all(told)).flat();
}

async function describe(device: string, memoryBytes: number, backend: string): Promise<Gpu> {
  const [product, id] = await Promise.all([textOf(device, 'product_name'), textOf(device, 'device')]);
  return { name: product || `AMD GPU ${id}`, backend, memoryBytes };
}

async function readUse(device: string): Promise<GpuUse> {
  const [monitor = ''] = await readdir(join(device, 'hwmon')).catch(() => []);
  const sensor = (file: string) => figureOf(join(device, 'hwmon', monitor), file);
  const [percent, used, milliCelsius, average, now] = await Promise.all([
    figureOf(device, 'gpu_busy_percent'),
    figureOf(device, 'mem_info_vram_used'),
    sensor('temp1_input'),
    sensor('power1_average'),
    // What newer cards have in its place.
    sensor('power1_input'),
  ]);
  const microwatts = average ?? now;
  return {
    use: percent === undefined ? undefined : percent / 100,
    memoryUsedBytes: used ?? 0,
    temperature: milliCelsius === undefined ? undefined : milliCelsius / 1000,
    power: microwatts === undefined ? undefined : microwatts / 1e6,
  };
}

async function figureOf(folder: string, file: string): Promise<number | undefined> {
  const text = await textOf(folder, file);
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function textOf(folder: string, file: string): Promise<string> {
  return readFile(join(folder, file), 'utf8')
    .then((text) => text.trim())
    .catch(() => '');
}
