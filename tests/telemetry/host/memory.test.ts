import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCgroup } from '../../../telemetry/host/cgroup.ts';
import { fullest, openMemory, useOf } from '../../../telemetry/host/memory.ts';

const MIB = 2 ** 20;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'infermesh-memory-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function lay(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

const meminfo = (fields: Record<string, number>) =>
  Object.entries(fields)
    .map(([key, bytes]) => `${`${key}:`.padEnd(16)}${bytes / 1024} kB\n`)
    .join('');

describe('a control group of version 2', () => {
  const pod = {
    'proc/self/cgroup': '0::/slice/pod\n',
    'sys/fs/cgroup/cgroup.controllers': 'cpu memory\n',
    'sys/fs/cgroup/slice/pod/cpu.stat': 'usage_usec 2500000\nuser_usec 2000000\n',
    'sys/fs/cgroup/slice/pod/memory.current': '1000000\n',
    'sys/fs/cgroup/slice/pod/memory.stat':
      'anon 600000\nfile 400000\nfile_mapped 150000\nactive_file 100000\ninactive_file 300000\n',
  };

  test('has used what the kernel would not give back at once: neither files that nobody has mapped nor their pages', () => {
    lay(pod);
    expect(openCgroup(root)?.use()).toEqual({ cpuMs: 2500, memoryBytes: 750_000 });
  });

  test('has the lower of its two limits, and those of the groups that it lies in', () => {
    lay({
      ...pod,
      'sys/fs/cgroup/slice/pod/memory.max': '2000000\n',
      'sys/fs/cgroup/slice/pod/memory.high': '1500000\n',
      'sys/fs/cgroup/slice/pod/memory.pressure':
        'some avg10=40.00 avg60=0 avg300=0 total=9\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=9\n',
      'sys/fs/cgroup/slice/memory.max': '4000000\n',
      'sys/fs/cgroup/slice/memory.high': 'max\n',
      'sys/fs/cgroup/slice/memory.current': '3600000\n',
      'sys/fs/cgroup/slice/memory.stat': 'file_mapped 0\n',
    });
    expect(openCgroup(root)?.limits()).toEqual([
      { usedBytes: 750_000, limitBytes: 1_500_000, stalled: 0.125 },
      { usedBytes: 3_600_000, limitBytes: 4_000_000, stalled: 0 },
    ]);
  });

  test('without a limit bounds nothing', () => {
    lay({ ...pod, 'sys/fs/cgroup/slice/pod/memory.max': 'max\n' });
    expect(openCgroup(root)?.limits()).toEqual([]);
  });
});

describe('a control group of version 1', () => {
  const docker = {
    'proc/self/cgroup': '5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n',
    'sys/fs/cgroup/cpuacct/cpuacct.usage': '2500000000\n',
    'sys/fs/cgroup/memory/memory.usage_in_bytes': '1000000\n',
    'sys/fs/cgroup/memory/memory.stat':
      'inactive_file 5\ntotal_inactive_file 300000\ntotal_active_file 50000\ntotal_mapped_file 50000\n',
  };

  test('is found at the top of the mount inside a container', () => {
    lay({ ...docker, 'sys/fs/cgroup/memory/memory.limit_in_bytes': '1400000\n' });
    const group = openCgroup(root);
    expect(group?.use()).toEqual({ cpuMs: 2500, memoryBytes: 700_000 });
    expect(group?.limits()).toEqual([{ usedBytes: 700_000, limitBytes: 1_400_000, stalled: 0 }]);
  });

  test('says by the largest number of pages that it has no limit', () => {
    lay({ ...docker, 'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n' });
    expect(openCgroup(root)?.limits()).toEqual([]);
  });
});

test('where there are no control groups, nothing is known of one', () => expect(openCgroup(root)).toBeUndefined());

describe('memory', () => {
  const machine = meminfo({ MemTotal: 1000 * MIB, MemAvailable: 600 * MIB, Mapped: 150 * MIB, Shmem: 50 * MIB });

  test('of the machine counts mapped files as used, since nothing runs without them', () => {
    lay({ 'proc/meminfo': machine, 'proc/pressure/memory': 'some avg10=9.00\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n' });
    expect(openMemory({ root })()).toEqual([{ usedBytes: 500 * MIB, limitBytes: 1000 * MIB, stalled: 0.03 }]);
  });

  test('is as full as the fullest: machine, group, or what the node was allowed', () => {
    lay({
      'proc/meminfo': machine,
      'proc/self/cgroup': '0::/\n',
      'sys/fs/cgroup/cgroup.controllers': 'memory\n',
      'sys/fs/cgroup/memory.max': `${100 * MIB}\n`,
      'sys/fs/cgroup/memory.current': `${60 * MIB}\n`,
    });
    expect(openMemory({ root })().map(({ limitBytes }) => limitBytes)).toEqual([1000 * MIB, 100 * MIB]);
    expect(fullest(openMemory({ root })())).toMatchObject({ usedBytes: 60 * MIB, limitBytes: 100 * MIB });
    expect(fullest(openMemory({ root, allowed: 8192 * MIB })())).toMatchObject({ limitBytes: 100 * MIB });
    expect(fullest(openMemory({ root, allowed: 10 * MIB })())).toMatchObject({ limitBytes: 10 * MIB });
  });

  test('of a process has that of its children in it', () => {
    const { pid } = process;
    lay({
      [`proc/${pid}/task/${pid}/children`]: '77 78 79 \n',
      'proc/77/status': 'Name:\tnode\nVmRSS:\t   20480 kB\n',
      'proc/78/status': 'Name:\tnode\nVmRSS:\t   10240 kB\n',
    });
    const { usedBytes } = fullest(openMemory({ root, allowed: 1 })());
    expect(usedBytes).toBeGreaterThan(30 * MIB + process.memoryUsage.rss() / 2);
    expect(usedBytes).toBeLessThan(30 * MIB + process.memoryUsage.rss() * 2);
  });

  test('of this machine is neither empty nor beyond it', () => {
    const now = fullest(openMemory()());
    expect(now.limitBytes).toBeLessThanOrEqual(totalmem());
    expect(useOf(now)).toBeGreaterThan(0);
    expect(useOf(now)).toBeLessThan(1.1);
  });
});
