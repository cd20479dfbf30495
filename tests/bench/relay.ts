/**
 * What it costs to pass a token on: the real router between a node that replays canned tokens over the real link and
 * ordinary gRPC clients, beside nginx and a plain grpc-js proxy before the same replay engine.
 *
 * The figure is CPU time of the relaying process per token that reached a client, over a window in which nothing
 * starts or ends. Two cores run everything, so wall-clock figures are of the whole set-up and only compare.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startMesh } from '../support/mesh.ts';
import type { Report } from './report.ts';
import { median, percentile } from './report.ts';
import type { Mark, Open } from './support/load.ts';
import { findNginx, startNginx } from './support/nginx.ts';
import { cpuSeconds, forkScript, residentBytes } from './support/process.ts';

const OPTIONS = {
  streams: { type: 'string', default: '1000' },
  rate: { type: 'string', default: '50' },
  connections: { type: 'string', default: '8' },
  seconds: { type: 'string', default: '6' },
  runs: { type: 'string', default: '3' },
  only: { type: 'string', multiple: true },
} as const;

interface Shape {
  readonly streams: number;
  /** Tokens per second of each stream; 0: flat out. */
  readonly rate: number;
  readonly connections: number;
  readonly seconds: number;
}

interface Sample {
  readonly cpuUsPerToken: number;
  readonly tokensPerSecond: number;
  readonly firstTokenP50Ms: number;
  readonly firstTokenP99Ms: number;
  readonly residentMb: number;
}

/** Something between clients and engine; `pid` is the process whose time counts. */
interface Relay extends AsyncDisposable {
  readonly address: string;
  readonly pid: number;
}

type Start = (rate: number, slots: number) => Promise<Relay>;

export async function relay(args: readonly string[]): Promise<Report> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const notes: string[] = [];
  const relays = relaysOf(notes, values.only);
  const paced = {
    streams: Number(values.streams),
    rate: Number(values.rate),
    connections: Number(values.connections),
    seconds: Number(values.seconds),
  };
  const flat = { streams: 32, rate: 0, connections: 4, seconds: Number(values.seconds) };
  const figures: Record<string, number> = {};
  for (const [kind, shape] of [
    ['paced', paced],
    ['flat', flat],
  ] as const) {
    const samples = await measureAll(relays, shape, Number(values.runs));
    for (const [name, sample] of Object.entries(samples)) {
      figures[`${name}_${kind}_cpu_us_per_token`] = sample.cpuUsPerToken;
      figures[`${name}_${kind}_tokens_per_s`] = sample.tokensPerSecond;
      figures[`${name}_${kind}_first_token_p50_ms`] = sample.firstTokenP50Ms;
      figures[`${name}_${kind}_first_token_p99_ms`] = sample.firstTokenP99Ms;
      figures[`${name}_${kind}_resident_mb`] = sample.residentMb;
    }
    const cost = (name: string) => samples[name]?.cpuUsPerToken ?? Number.NaN;
    if (kind === 'paced' && samples.nginx && samples.router) figures.router_over_nginx_paced = cost('router') / cost('nginx');
    if (samples.grpc_js_proxy && samples.router)
      figures[`grpc_js_proxy_over_router_${kind}`] = cost('grpc_js_proxy') / cost('router');
  }
  const targets = [
    { figure: 'router_over_nginx_paced', most: 1, unit: 'x (aim 0.5)' },
    { figure: 'grpc_js_proxy_over_router_flat', least: 3, unit: 'x (aim 10)' },
  ];
  return { name: 'relay', figures, targets, notes };
}

function relaysOf(notes: string[], only: readonly string[] | undefined): Record<string, Start> {
  const relays: Record<string, Start> = { router: startRouter, grpc_js_proxy: startGrpcJsProxy, direct: startDirect };
  const nginx = findNginx();
  if ('path' in nginx) relays.nginx = (rate, slots) => startNginxBefore(nginx.path, rate, slots);
  else notes.push(`nginx was left out: ${nginx.missing}`);
  return Object.fromEntries(Object.entries(relays).filter(([name]) => !only || only.includes(name)));
}

/** Round robin, so that a noisy minute falls on all of them alike. */
async function measureAll(relays: Record<string, Start>, shape: Shape, runs: number): Promise<Record<string, Sample>> {
  const samples: Record<string, Sample[]> = {};
  for (let run = 0; run < runs; run++) {
    for (const [name, start] of Object.entries(relays)) {
      const sample = await measure(start, shape);
      samples[name] = [...(samples[name] ?? []), sample];
      process.stderr.write(
        `${shape.rate ? 'paced' : 'flat'} run ${run + 1} ${name}: ${sample.cpuUsPerToken.toFixed(2)} us/token\n`,
      );
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, all]) => [name, medians(all)]));
}

function medians(samples: readonly Sample[]): Sample {
  const of = (pick: (sample: Sample) => number) => median(samples.map(pick));
  return {
    cpuUsPerToken: of((sample) => sample.cpuUsPerToken),
    tokensPerSecond: of((sample) => sample.tokensPerSecond),
    firstTokenP50Ms: of((sample) => sample.firstTokenP50Ms),
    firstTokenP99Ms: of((sample) => sample.firstTokenP99Ms),
    residentMb: of((sample) => sample.residentMb),
  };
}

async function measure(start: Start, { streams, rate, connections, seconds }: Shape): Promise<Sample> {
  await using relayed = await start(rate, streams);
  await using load = forkScript(new URL('./support/load.ts', import.meta.url));
  const open: Open = {
    type: 'open',
    address: relayed.address,
    streams,
    connections,
    maxTokens: 131_072,
    rampMs: rate === 0 ? 0 : 2000,
  };
  await load.ask(open, 'opened');
  await pause(1500);
  const arrivals = await load.ask<Mark>({ type: 'mark' }, 'marked');
  const before = cpuSeconds(relayed.pid);
  await pause(seconds * 1000);
  const window = await load.ask<Mark>({ type: 'mark' }, 'marked');
  const spent = cpuSeconds(relayed.pid) - before;
  const failures = Object.entries({ ...arrivals.errors, ...window.errors });
  if (failures.length > 0) throw new Error(`streams failed, by status: ${JSON.stringify(failures)}`);
  load.send({ type: 'close' });
  return {
    cpuUsPerToken: (1e6 * spent) / window.tokens,
    tokensPerSecond: window.tokens / window.seconds,
    firstTokenP50Ms: percentile(arrivals.firstTokenMs, 0.5),
    firstTokenP99Ms: percentile(arrivals.firstTokenMs, 0.99),
    residentMb: residentBytes(relayed.pid) / 2 ** 20,
  };
}

async function startRouter(rate: number, slots: number): Promise<Relay> {
  const mesh = await startMesh({ nodes: [{ engine: 'replay', model: 'canned', replay: `rate=${rate}`, slots }] });
  return { address: mesh.address, pid: mesh.router.pid, [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose]() };
}

async function startUpstream(rate: number, slots: number) {
  const upstream = forkScript(new URL('./support/upstream.ts', import.meta.url), [String(rate), String(slots)]);
  const { address } = await upstream.next<{ address: string }>('ready');
  return { upstream, address };
}

async function startDirect(rate: number, slots: number): Promise<Relay> {
  const { upstream, address } = await startUpstream(rate, slots);
  return { address, pid: upstream.pid, [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose]() };
}

async function startGrpcJsProxy(rate: number, slots: number): Promise<Relay> {
  const { upstream, address } = await startUpstream(rate, slots);
  const proxy = forkScript(new URL('./support/grpc-js-proxy.ts', import.meta.url), [address]);
  const ready = await proxy.next<{ address: string }>('ready');
  return {
    address: ready.address,
    pid: proxy.pid,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

async function startNginxBefore(path: string, rate: number, slots: number): Promise<Relay> {
  const { upstream, address } = await startUpstream(rate, slots);
  const nginx = await startNginx(path, address);
  return {
    address: nginx.address,
    pid: nginx.pid,
    async [Symbol.asyncDispose]() {
      await nginx[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}
