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
  seconds: { type: 'string', default: '4' },
  runs: { type: 'string', default: '5' },
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
  const [streams, rate, connections, seconds] = [values.streams, values.rate, values.connections, values.seconds].map(
    Number,
  ) as Four;
  const shapes = { paced: { streams, rate, connections, seconds }, flat: { streams: 32, rate: 0, connections: 4, seconds } };
  const figures: Record<string, number> = {};
  for (const [kind, shape] of Object.entries(shapes)) {
    const rounds = await measureAll(relays, shape, Number(values.runs));
    Object.assign(figures, ratios(rounds, kind), absolutes(rounds, kind));
  }
  const targets = [
    { figure: 'router_over_nginx_paced', most: 1, unit: 'x (aim 0.5)' },
    { figure: 'grpc_js_proxy_over_router_flat', least: 3, unit: 'x (aim 10)' },
  ];
  return { name: 'relay', figures, targets, notes };
}

type Four = [number, number, number, number];
/** One sample of each relay, taken one right after the other. */
type Round = Readonly<Record<string, Sample>>;

/** The machine's speed changes by the minute, so what is compared is taken within a round, and the median is of ratios. */
function ratios(rounds: readonly Round[], kind: string): Record<string, number> {
  const over = (one: string, other: string) => {
    const all = rounds.flatMap((round) =>
      round[one] && round[other] ? [round[one].cpuUsPerToken / round[other].cpuUsPerToken] : [],
    );
    return all.length > 0 ? { [`${one}_over_${other}_${kind}`]: median(all) } : {};
  };
  return { ...over('router', 'nginx'), ...over('grpc_js_proxy', 'router') };
}

function absolutes(rounds: readonly Round[], kind: string): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const name of Object.keys(rounds[0] ?? {})) {
    const of = (pick: (sample: Sample) => number) => median(rounds.flatMap((round) => (round[name] ? [pick(round[name])] : [])));
    figures[`${name}_${kind}_cpu_us_per_token`] = of((sample) => sample.cpuUsPerToken);
    figures[`${name}_${kind}_tokens_per_s`] = of((sample) => sample.tokensPerSecond);
    figures[`${name}_${kind}_first_token_p50_ms`] = of((sample) => sample.firstTokenP50Ms);
    figures[`${name}_${kind}_first_token_p99_ms`] = of((sample) => sample.firstTokenP99Ms);
    figures[`${name}_${kind}_resident_mb`] = of((sample) => sample.residentMb);
  }
  return figures;
}

function relaysOf(notes: string[], only: readonly string[] | undefined): Record<string, Start> {
  const nginx = findNginx();
  if ('missing' in nginx) notes.push(`nginx was left out: ${nginx.missing}`);
  const relays: Record<string, Start> = {
    ...('path' in nginx ? { nginx: (rate: number, slots: number) => startNginxBefore(nginx.path, rate, slots) } : {}),
    router: startRouter,
    grpc_js_proxy: startGrpcJsProxy,
    direct: startDirect,
  };
  return Object.fromEntries(Object.entries(relays).filter(([name]) => !only || only.includes(name)));
}

async function measureAll(relays: Record<string, Start>, shape: Shape, runs: number): Promise<Round[]> {
  await using stack = new AsyncDisposableStack();
  const started: [name: string, relayed: Relay][] = [];
  for (const [name, start] of Object.entries(relays)) started.push([name, stack.use(await start(shape.rate, shape.streams))]);
  const rounds: Round[] = [];
  for (let run = 0; run < runs; run++) {
    const round: Record<string, Sample> = {};
    for (const [name, relayed] of started) {
      round[name] = await measure(relayed, shape);
      process.stderr.write(
        `${shape.rate ? 'paced' : 'flat'} round ${run + 1} ${name}: ${round[name].cpuUsPerToken.toFixed(2)} us/token\n`,
      );
    }
    rounds.push(round);
  }
  return rounds;
}

async function measure(relayed: Relay, { streams, rate, connections, seconds }: Shape): Promise<Sample> {
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
  await load.next('closed');
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
  const upstream = forkScript(new URL('./support/upstream.ts', import.meta.url), ['replay', String(rate), String(slots)]);
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
