import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cpuFeatures, cpuModel } from '../../nodes/hardware/cpu.ts';
import { findGpus, parseNvidiaSmi } from '../../nodes/hardware/gpu.ts';
import { usableMemory } from '../../nodes/hardware/memory.ts';
import { createUsageSampler, detectHardware } from '../../nodes/hardware.ts';

const GIB = 1024 ** 3;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'infermesh-hardware-'));
});
afterEach(() => rm(root, { recursive: true }));

async function lay(files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text, { mode: 0o755 });
  }
}

describe('this machine', () => {
  test('is described by what its operating system says', async () => {
    const hardware = await detectHardware();
    expect(hardware).toMatchObject({ cores: availableParallelism(), os: process.platform, arch: process.arch });
    expect(hardware.cpuModel).not.toBe('');
    expect(hardware.memoryBytes).toBeGreaterThan(GIB / 2);
    expect(hardware.memoryBytes).toBeLessThanOrEqual(totalmem());
  });

  test('is as busy as its processors are', () => {
    const sampler = createUsageSampler();
    expect(sampler.sample().cpuUse).toBe(0);
    const end = performance.now() + 300;
    while (performance.now() < end);
    const { cpuUse, memoryUsedBytes } = sampler.sample();
    expect(cpuUse).toBeGreaterThan(0.5 / cpus().length);
    expect(cpuUse).toBeLessThanOrEqual(1);
    expect(memoryUsedBytes).toBeGreaterThan(process.memoryUsage.rss() / 4);
  });
});

describe('the processor', () => {
  test('of x86 names the vector and matrix sets that engines use', () => {
    const cpuinfo =
      'processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse4_2 avx f16c fma avx2 avx512f avx512_vnni amx_int8 smep\n';
    expect(cpuFeatures(cpuinfo)).toEqual(['sse4_2', 'avx', 'avx2', 'avx512f', 'avx512_vnni', 'amx_int8', 'f16c', 'fma']);
  });

  test('of ARM does so by the names that engines use', () => {
    expect(cpuFeatures('Features\t: fp asimd aes asimdhp asimddp sve i8mm bf16\n')).toEqual([
      'neon',
      'fp16',
      'dotprod',
      'sve',
      'i8mm',
      'bf16',
    ]);
  });

  test('has a name even where the operating system has none', () => {
    expect(cpuModel(' Some  CPU @ 2 GHz ', '', 'x86_64')).toBe('Some CPU @ 2 GHz');
    expect(cpuModel('unknown', 'Model\t\t: Raspberry Pi 5 Model B Rev 1.0\n', 'aarch64')).toBe('Raspberry Pi 5 Model B Rev 1.0');
    expect(cpuModel(undefined, '', 'aarch64')).toBe('aarch64 processor');
  });

  test('has no features where nothing tells them', () => expect(cpuFeatures('')).toEqual([]));
});

test('memory is the limit of the control group where that is lower than the machine', () => {
  expect(usableMemory(2 * GIB, 8 * GIB)).toBe(2 * GIB);
  expect(usableMemory(0, 8 * GIB)).toBe(8 * GIB);
  expect(usableMemory(2 ** 64, 8 * GIB)).toBe(8 * GIB);
});

describe('GPUs', () => {
  test('are read from the lines of nvidia-smi', () => {
    expect(parseNvidiaSmi('NVIDIA H100 80GB HBM3, 81559\nNVIDIA GeForce RTX 4090, 24564\n')).toEqual([
      { name: 'NVIDIA H100 80GB HBM3', backend: 'cuda', memoryBytes: 81_559 * 1024 ** 2 },
      { name: 'NVIDIA GeForce RTX 4090', backend: 'cuda', memoryBytes: 24_564 * 1024 ** 2 },
    ]);
  });

  test('that share memory with the processor, so that the tool tells none, are counted all the same', () => {
    expect(parseNvidiaSmi('NVIDIA GB10, [N/A]\n')).toEqual([{ name: 'NVIDIA GB10', backend: 'cuda', memoryBytes: 0 }]);
  });

  test.each(['', 'No devices were found\n', "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"])(
    'are none when the tool says %j',
    (text) => expect(parseNvidiaSmi(text)).toEqual([]),
  );

  test('are found by the nvidia-smi on the path', async () => {
    await lay({ 'nvidia-smi': '#!/bin/sh\necho "NVIDIA L4, 23034"\n' });
    const found = await findGpus({ PATH: `${root}${delimiter}${process.env.PATH}` }, root);
    expect(found).toEqual([{ name: 'NVIDIA L4', backend: 'cuda', memoryBytes: 23_034 * 1024 ** 2 }]);
  });

  test('are none when nvidia-smi fails, or hangs for 3 s', async () => {
    await lay({
      'bad/nvidia-smi': '#!/bin/sh\necho "NVIDIA L4, 23034"\nexit 9\n',
      'slow/nvidia-smi': '#!/bin/sh\nexec sleep 60\n',
    });
    const find = (folder: string) => findGpus({ PATH: `${join(root, folder)}${delimiter}${process.env.PATH}` }, root);
    expect(await Promise.all([find('bad'), find('slow')])).toEqual([[], []]);
  });

  test('of AMD are read from what the kernel tells, and other cards are passed over', async () => {
    const card = (index: number, vendor: string) => `sys/class/drm/card${index}/device/${vendor}`;
    await lay({
      [card(0, 'vendor')]: '0x8086\n',
      [card(1, 'vendor')]: '0x1002\n',
      [card(1, 'device')]: '0x744c\n',
      [card(1, 'mem_info_vram_total')]: '25753026560\n',
    });
    const amd = { name: 'AMD GPU 0x744c', memoryBytes: 25_753_026_560 };
    expect(await findGpus({ PATH: root }, root)).toEqual([{ ...amd, backend: 'vulkan' }]);
    await lay({ 'dev/kfd': '' });
    expect(await findGpus({ PATH: root }, root)).toEqual([{ ...amd, backend: 'rocm' }]);
  });
});

describe('use', () => {
  test('is the share of all cores since the sample before, whatever the counters do', () => {
    let at = 0;
    let cpuMs = 500;
    const sampler = createUsageSampler({ cores: 4, now: () => at, read: () => ({ cpuMs, memoryBytes: 10.4 }) });
    const useAfter = (ms: number, used: number) => {
      at += ms;
      cpuMs += used;
      return sampler.sample().cpuUse;
    };
    expect(useAfter(0, 0)).toBe(0);
    expect(useAfter(1000, 2000)).toBe(0.5);
    expect(useAfter(1000, 9000)).toBe(1);
    expect(useAfter(1000, -50)).toBe(0);
    expect(sampler.sample().memoryUsedBytes).toBe(10);
  });

  test('is that of the sample before where the two come close together, and nothing is lost by that', () => {
    let at = 0;
    let cpuMs = 0;
    const sampler = createUsageSampler({ cores: 1, now: () => at, read: () => ({ cpuMs, memoryBytes: 10 }) });
    const useAt = (ms: number, used: number) => {
      at = ms;
      cpuMs = used;
      return sampler.sample().cpuUse;
    };
    expect(useAt(0, 0)).toBe(0);
    expect(useAt(1000, 500)).toBe(0.5);
    expect(useAt(1000, 500)).toBe(0.5);
    expect(useAt(1020, 520)).toBe(0.5);
    expect(useAt(2000, 700)).toBe(0.2);
  });
});
