/**
 * The shape that the scenarios of Redis have: two routers that share one, under a steady load of requests that repeat and
 * requests that don't; first while Redis is well, then while it is not, then until the routers share again.
 */
import { Redis } from 'ioredis';
import type { Mesh } from '../../../client/index.ts';
import { CacheSource, connect } from '../../../client/index.ts';
import type { Target } from '../../bench/report.ts';
import { percentile } from '../../bench/report.ts';
import type { RedisServer } from '../../support/redis.ts';
import { startRedis } from '../../support/redis.ts';
import type { Findings, Scale, Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import type { Verdict } from './check.ts';
import { monotonicMs, pause, poll } from './clock.ts';
import { Fleet } from './fleet.ts';
import { failuresOf, Load } from './load.ts';
import { FaultProxy } from './proxy.ts';

const PACE = 100;
const TOKENS = 8;
/** To each router. */
const PER_SECOND = 40;
const REPEATED = { share: 0.7, prompts: 40, newPerSecond: 8 };
const HARM_EVERY_MS = 100;
const REJOIN_LIMIT_MS = 10_000;

export const REDIS_TARGETS: readonly Target[] = [
  { figure: 'requests_failed', most: 0, unit: 'requests' },
  { figure: 'answers_wrong', most: 0, unit: 'answers' },
  { figure: 'added_p99_ms', most: 50, unit: 'ms' },
  { figure: 'log_lines_too_many', most: 0, unit: 'lines' },
  { figure: 'rejoin_ms', most: 3000, unit: 'ms' },
];

export interface Broken {
  readonly redis: RedisServer;
  /** A connection past every proxy. Replies are text; `callBuffer` has bytes. */
  readonly operator: Redis;
  /** Between the routers and Redis. */
  readonly proxy: FaultProxy;
  readonly fleet: Fleet;
}

export interface RedisFault {
  readonly name: string;
  readonly does: string;
  /** Of redis-server. */
  readonly args?: readonly string[];
  /** Beside those that all have. */
  readonly targets?: readonly Target[];
  /** Before the load. */
  readonly prepare?: (broken: Broken) => Promise<void>;
  readonly begin?: (broken: Broken) => Promise<void>;
  /** Again and again while Redis is not well. */
  readonly harm?: (broken: Broken) => Promise<void>;
  readonly mend?: (broken: Broken) => Promise<void>;
  /** Changes of state that each router may tell of, one line each. */
  readonly changes: number;
  /** More figures, after everything. */
  readonly found?: (broken: Broken) => Promise<Record<string, number>>;
}

export function redisScenario(fault: RedisFault): Scenario {
  const { name, does, targets = [] } = fault;
  return { name, does, family: 'redis', targets: [...REDIS_TARGETS, ...targets], run: (scale) => run(fault, scale) };
}

async function run(fault: RedisFault, scale: Scale): Promise<Findings> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis({ ofItsOwn: true, ...(fault.args ? { args: fault.args } : {}) }));
  const proxy = stack.use(await FaultProxy.before(`${redis.host}:${redis.port}`));
  const operator = stack.adopt(new Redis(redis.url, { retryStrategy: () => 100 }), (one) => one.disconnect());
  operator.on('error', () => {});
  const node = { id: 'node-1', replay: `rate=${PACE},length=${TOKENS}`, slots: 256 };
  const fleet = stack.use(await Fleet.start([node], { routers: 2, routerFlags: ['--redis', `redis://${proxy.address}`] }));
  const broken: Broken = { redis, operator, proxy, fleet };
  const pair = new SharingPair(fleet.routers);
  stack.defer(() => pair.close());
  await fault.prepare?.(broken);
  await pair.sharing();
  const loads = [];
  for (const router of fleet.routers) loads.push(stack.use(await Load.start(options(router, scale))));
  // Compiling, and the first prompts, which nobody has asked before.
  await pause(2000);
  const phaseMs = durationMs(scale, 12) / 2;
  const wellAt = monotonicMs();
  await pause(phaseMs);
  const logsBefore = fleet.routers.map((address) => fleet.router(address).output().length);
  const brokenAt = monotonicMs();
  await breaking(fault, broken, phaseMs);
  const mendedAt = monotonicMs();
  const rejoin_ms = await pair.sharing();
  const results = await Promise.all(loads.map((load) => load.stop(10_000)));
  const verdicts = results.flatMap((result) => result.verdicts);
  const lines = fleet.routers.map((address, index) => complaints(fleet.router(address).output().slice(logsBefore[index])));
  return {
    figures: {
      ...figuresOf(verdicts, { wellAt, brokenAt, mendedAt }),
      rejoin_ms,
      log_lines: lines.flat().length,
      log_lines_too_many: lines.reduce((sum, some) => sum + Math.max(0, some.length - fault.changes), 0),
      ...(await fault.found?.(broken)),
      driver_lag_max_ms: Math.max(...results.map(({ ownLagMs }) => ownLagMs)),
    },
    notes: [...failuresOf(verdicts), `The routers told: ${told(lines.flat())}.`],
  };
}

function options(router: string, { streams }: Scale) {
  const arrivalsPerSecond = streams ?? PER_SECOND;
  return { routers: [router], arrivalsPerSecond, tokens: TOKENS, maxTokens: 2 * TOKENS, prompt: 'chaos', repeated: REPEATED };
}

async function breaking({ begin, harm, mend }: RedisFault, broken: Broken, ms: number): Promise<void> {
  const until = monotonicMs() + ms;
  await begin?.(broken);
  while (harm && monotonicMs() < until) {
    await harm(broken);
    await pause(HARM_EVERY_MS);
  }
  await pause(Math.max(0, until - monotonicMs()));
  await mend?.(broken);
}

interface Phases {
  readonly wellAt: number;
  readonly brokenAt: number;
  readonly mendedAt: number;
}

function figuresOf(verdicts: readonly Verdict[], { wellAt, brokenAt, mendedAt }: Phases): Record<string, number> {
  const between = (from: number, to: number) => verdicts.filter(({ startedAt }) => startedAt >= from && startedAt < to);
  const well = between(wellAt, brokenAt);
  const broken = between(brokenAt, mendedAt);
  const p99 = (some: readonly Verdict[]) =>
    percentile(
      some.map(({ totalMs }) => totalMs),
      0.99,
    );
  const fromRedis = (some: readonly Verdict[]) =>
    some.filter(({ source }) => source === CacheSource.CACHE_SOURCE_REDIS).length / some.length;
  return {
    requests: verdicts.length,
    requests_failed: verdicts.filter(({ end }) => end !== 'finished').length,
    answers_wrong: verdicts.filter(({ lost, repeated, wrong }) => lost + repeated + wrong > 0).length,
    from_redis_share_when_well: fromRedis(well),
    from_redis_share_when_broken: fromRedis(broken),
    p99_when_well_ms: p99(well),
    p99_when_broken_ms: p99(broken),
    added_p99_ms: p99(broken) - p99(well),
  };
}

interface Line {
  readonly event: string;
  readonly reason?: string;
}

/** What a router has to say about Redis, and whatever else it warns of but a request's own end. */
function complaints(output: string): Line[] {
  const lines = output.split('\n').flatMap((line): (Line & { level?: string })[] => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
  return lines.filter(
    ({ event = '', level = '' }) => event.startsWith('redis_') || (['warn', 'error'].includes(level) && event !== 'request'),
  );
}

function told(lines: readonly Line[]): string {
  const counts = new Map<string, number>();
  for (const { event, reason } of lines) {
    const what = reason ? `${event} ${reason}` : event;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].map(([what, count]) => `${what} (${count})`).join(', ') || 'nothing';
}

/** Two routers, asked whether each gives what the other has answered. */
class SharingPair {
  readonly #clients: readonly Mesh[];
  #asked = 0;

  constructor(addresses: readonly string[]) {
    this.#clients = addresses.map((address) => connect(address));
  }

  /** @returns how long it took until both give what the other answered, in milliseconds; the limit when they never did */
  async sharing(): Promise<number> {
    const since = monotonicMs();
    const [one, other] = this.#clients as [Mesh, Mesh];
    await poll(
      async () => ((await this.#gives(one, other)) && (await this.#gives(other, one))) || undefined,
      REJOIN_LIMIT_MS,
      10,
    );
    return monotonicMs() - since;
  }

  async #gives(first: Mesh, second: Mesh): Promise<boolean> {
    const input = { messages: `do you share ${this.#asked++}`, sampling: { temperature: 0 } };
    await first.ask(input);
    // It goes to Redis behind the answer.
    await pause(20);
    const { finished } = await second.ask(input);
    return finished.cached?.source === CacheSource.CACHE_SOURCE_REDIS;
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}
