/**
 * What a mesh does with five times what it can answer: how much it still answers, how fast it refuses the rest, and what
 * becomes of a tenant that asks little beside one that asks everything. The engine replays tokens at a fixed rate, so
 * what the mesh can answer is known and doesn't depend on the machine.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { digestOfSecret } from '../../proto/transport/join-token.ts';
import type { NodeOptions } from '../support/mesh.ts';
import { startMesh, TOKEN } from '../support/mesh.ts';
import type { Report } from './report.ts';
import { percentile } from './report.ts';
import type { Ends, TenantLoad } from './support/overload-clients.ts';
import { cpuSeconds, forkScript } from './support/process.ts';

const OPTIONS = {
  /** Of each of the three loads. */
  seconds: { type: 'string', default: '20' },
  nodes: { type: 'string', default: '2' },
  slots: { type: 'string', default: '8' },
} as const;

/** Of each request; with the length of an answer they make 5 answers a second and slot. */
const TOKENS_PER_SECOND = 100;
const ANSWER_TOKENS = 20;
const TIMES = 5;
const HEAVY = 'heavy-tenant-key-of-the-bench';
const LIGHT = 'light-tenant-key-of-the-bench';

export async function overload(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const [seconds, nodes, slots] = [Number(values.seconds), Number(values.nodes), Number(values.slots)];
  const capacity = (nodes * slots * TOKENS_PER_SECOND) / ANSWER_TOKENS;
  const node: NodeOptions = { engine: 'replay', replay: `rate=${TOKENS_PER_SECOND}`, slots };
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-overload-'));
  try {
    const tenants = join(folder, 'tenants.yaml');
    writeFileSync(tenants, tenantsFile({ heavy: HEAVY, light: LIGHT }));
    await using mesh = await startMesh({
      nodes: Array<NodeOptions>(nodes).fill(node),
      routerFlags: ['--tenants', tenants],
      connect: { apiKey: TOKEN },
    });
    const { pid } = mesh.router;
    const put = (load: readonly TenantLoad[]) => underLoad(mesh.address, seconds, load);
    // Half of them wait, so no slot is ever without work, and nobody is refused.
    const [peak] = await put([{ key: HEAVY, rate: 0, atOnce: 2 * nodes * slots }]);
    const cpuBefore = cpuSeconds(pid);
    const [loaded] = await put([{ key: HEAVY, rate: TIMES * capacity, atOnce: 0 }]);
    const cpu = cpuSeconds(pid) - cpuBefore;
    const [heavy, light] = await put([
      { key: HEAVY, rate: TIMES * capacity, atOnce: 0 },
      { key: LIGHT, rate: 0.25 * capacity, atOnce: 0 },
    ]);
    const { requestsWaiting, attemptsOpen } = await mesh.client.stats();
    return {
      name: 'overload',
      figures: {
        capacity_answers_per_s: capacity,
        peak_answers_per_s: peak.answeredPerSecond,
        overload_answers_per_s: loaded.answeredPerSecond,
        goodput_over_peak: loaded.answeredPerSecond / peak.answeredPerSecond,
        refused_per_s: loaded.refusedMs.length / (seconds * 0.8),
        router_cpu_share: cpu / seconds,
        router_cpu_us_per_request: (cpu * 1e6) / (TIMES * capacity * seconds),
        refusal_p50_ms: percentile(loaded.refusedMs, 0.5),
        refusal_p99_ms: percentile(loaded.refusedMs, 0.99),
        other_errors: Object.values(loaded.errors).reduce((sum, count) => sum + count, 0),
        // It asks for a quarter of what there is, which is less than its half.
        light_tenant_answered_share: light.answered / (light.answered + light.refusedMs.length),
        heavy_tenant_answers_per_s: heavy.answeredPerSecond,
        left_waiting_or_open: requestsWaiting + attemptsOpen,
      },
      targets: [
        { figure: 'goodput_over_peak', least: 0.9, unit: 'x' },
        { figure: 'refusal_p99_ms', most: 20, unit: 'ms' },
        { figure: 'other_errors', most: 0, unit: 'errors' },
        { figure: 'light_tenant_answered_share', least: 0.99, unit: '' },
        { figure: 'left_waiting_or_open', most: 0, unit: 'requests' },
      ],
      notes: [peak, loaded, heavy, light]
        .flatMap(({ errors }) => Object.entries(errors))
        .map(([code, n]) => `${n} calls ended with gRPC code ${code}`),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tenantsFile(keys: Readonly<Record<string, string>>): string {
  const tenants = Object.entries(keys).map(([name, key]) => [name, { keys: [digestOfSecret(key)] }]);
  // JSON is YAML.
  return JSON.stringify({ tenants: Object.fromEntries(tenants) });
}

type Both = readonly [Ends, Ends];

async function underLoad(address: string, seconds: number, tenants: readonly TenantLoad[]): Promise<Both> {
  await using clients = forkScript(new URL('./support/overload-clients.ts', import.meta.url));
  const load = { type: 'load', address, maxTokens: ANSWER_TOKENS, seconds, tenants };
  const { ends } = await clients.ask<{ ends: Both }>(load, 'ended');
  return ends;
}
