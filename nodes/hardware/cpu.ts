/** The processor: its name and the instruction sets that inference engines have kernels for. Pure. */

/** Name in /proc/cpuinfo to the name that we report. x86 lists `flags`, ARM `Features`. */
const X86 = [
  'sse4_2',
  'avx',
  'avx2',
  'avx_vnni',
  'avx512f',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'amx_tile',
  'amx_int8',
  'amx_bf16',
  'f16c',
  'fma',
] as const;
const ARM: Readonly<Record<string, string>> = {
  asimd: 'neon',
  neon: 'neon',
  asimdhp: 'fp16',
  asimddp: 'dotprod',
  i8mm: 'i8mm',
  bf16: 'bf16',
  sve: 'sve',
  sve2: 'sve2',
  sme: 'sme',
};

/** @param cpuinfo the text of /proc/cpuinfo; of several processors the first speaks for all */
export function cpuFeatures(cpuinfo: string): string[] {
  const flags = new Set(field(cpuinfo, 'flags').split(' '));
  const features = field(cpuinfo, 'Features').split(' ');
  const arm = features.flatMap((feature) => ARM[feature] ?? []);
  return [...X86.filter((flag) => flags.has(flag)), ...new Set(arm)];
}

/** @param reported by the operating system, which on ARM often has no name */
export function cpuModel(reported: string | undefined, cpuinfo: string, machine: string): string {
  const name = reported?.trim();
  if (name && name !== 'unknown') return name.replace(/\s+/g, ' ');
  return field(cpuinfo, 'Model') || field(cpuinfo, 'Hardware') || `${machine} processor`;
}

function field(cpuinfo: string, name: string): string {
  return new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1]?.trim() ?? '';
}
