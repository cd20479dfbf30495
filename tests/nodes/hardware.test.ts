import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cpuFeatures, cpuModel } from '../../nodes/hardware/cpu.ts';
import { findGpus, watchGpus } from '../../nodes/hardware/gpu.ts';
import { usableMemory } from '../../nodes/hardware/memory.ts';
import { parseNvidiaGpus, parseNvidiaUses } from '../../nodes/hardware/nvidia.ts';
import { createUsageSampler, detectHardware } from '../../nodes/hardware.ts';

const MIB = 1024 ** 2;
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
    expect(parseNvidiaGpus('NVIDIA H100 80GB HBM3, 81559\nNVIDIA GeForce RTX 4090, 24564\n')).toEqual([
      { name: 'NVIDIA H100 80GB HBM3', backend: 'cuda', memoryBytes: 81_559 * 1024 ** 2 },
      { name: 'NVIDIA GeForce RTX 4090', backend: 'cuda', memoryBytes: 24_564 * 1024 ** 2 },
    ]);
  });

  test('that share memory with the processor, so that the tool tells none, are counted all the same', () => {
    expect(parseNvidiaGpus('NVIDIA GB10, [N/A]\n')).toEqual([{ name: 'NVIDIA GB10', backend: 'cuda', memoryBytes: 0 }]);
  });

  test.each(['', 'No devices were found\n', "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"])(
    'are none when the tool says %j',
    (text) => expect(parseNvidiaGpus(text)).toEqual([]),
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

describe('what GPUs do', () => {
  test('is read from the lines of nvidia-smi; what it does not tell stays absent', () => {
    expect(parseNvidiaUses('45, 12345, 61, 250.12\n0, 3, 28, [N/A]\n[N/A], [N/A], [Not Supported], [Unknown Error]\n')).toEqual([
      { use: 0.45, memoryUsedBytes: 12_345 * MIB, temperature: 61, power: 250.12 },
      { use: 0, memoryUsedBytes: 3 * MIB, temperature: 28, power: undefined },
      { use: undefined, memoryUsedBytes: 0, temperature: undefined, power: undefined },
    ]);
  });

  test.each(['', 'No devices were found\n', 'Failed to initialize NVML: Driver/library version mismatch\n'])(
    'is nothing when the tool says %j',
    (text) => expect(parseNvidiaUses(text)).toEqual([]),
  );

  const H100 = { name: 'NVIDIA H100', backend: 'cuda', memoryBytes: 80 * GIB };
  const RADEON = { name: 'AMD GPU 0x744c', backend: 'rocm', memoryBytes: 24 * GIB };

  /** One look, at a machine whose tools and files are those of the test's folder. */
  async function look(gpus: Parameters<typeof watchGpus>[0]) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const env = { PATH: `${root}${delimiter}${process.env.PATH}` };
    const watch = watchGpus(gpus, { env, root, onLook: resolve, every: () => () => {} });
    expect(watch.uses).toEqual([]);
    await promise;
    watch.stop();
    return watch.uses;
  }

  test('is told in the order of the GPUs, by nvidia-smi and by the files of amdgpu', async () => {
    const device = 'sys/class/drm/card1/device';
    await lay({
      'nvidia-smi': '#!/bin/sh\necho "7, 1024, 40, 69.5"\n',
      [`${device}/vendor`]: '0x1002\n',
      [`${device}/mem_info_vram_total`]: `${24 * GIB}\n`,
      [`${device}/mem_info_vram_used`]: `${6 * GIB}\n`,
      [`${device}/gpu_busy_percent`]: '93\n',
      [`${device}/hwmon/hwmon4/temp1_input`]: '57000\n',
      [`${device}/hwmon/hwmon4/power1_average`]: '180500000\n',
    });
    expect(await look([H100, RADEON])).toEqual([
      { use: 0.07, memoryUsedBytes: GIB, temperature: 40, power: 69.5 },
      { use: 0.93, memoryUsedBytes: 6 * GIB, temperature: 57, power: 180.5 },
    ]);
  });

  test('is not told at all when it can be told of some only, for nobody would know of which', async () => {
    await lay({ 'nvidia-smi': '#!/bin/sh\necho "7, 1024, 40, 69.5"\n' });
    expect(await look([H100, H100])).toEqual([]);
  });

  test('is never asked of a machine without any, and a tool that hangs is asked once', async () => {
    await lay({ 'nvidia-smi': `#!/bin/sh\necho x >>"${root}/asked"\nexec sleep 60\n` });
    let due = () => {};
    const env = { PATH: `${root}${delimiter}${process.env.PATH}` };
    const every = (_ms: number, run: () => void) => {
      due = run;
      return () => {};
    };
    watchGpus([], { env, root, every }).stop();
    due();
    const { promise, resolve } = Promise.withResolvers<void>();
    const watch = watchGpus([H100], { env, root, every, onLook: resolve });
    due();
    due();
    await promise;
    watch.stop();
    expect(await readFile(join(root, 'asked'), 'utf8')).toBe('x\n');
    expect(watch.uses).toEqual([]);
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
