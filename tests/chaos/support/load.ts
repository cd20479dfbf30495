/** Clients in worker processes, and what their streams came to. */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { percentile } from '../../bench/report.ts';
import type { Member } from '../../support/mesh.ts';
import type { Verdict } from './check.ts';
import { pause, poll } from './clock.ts';
import type { LoadOptions, LoadResult, ToLoad } from './load-process.ts';

const SCRIPT = fileURLToPath(new URL('./load-process.ts', import.meta.url));

export interface Counted {
  readonly tokens: number;
  readonly open: number;
  readonly ended: number;
}

export class Load implements AsyncDisposable {
  readonly #child: ChildProcess;
  #answer = Promise.withResolvers<unknown>();

  private constructor() {
    this.#child = fork(SCRIPT, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced', execArgv: [] });
    this.#child.on('message', (message) => this.#answer.resolve(message));
    this.#child.once('exit', (code, signal) => this.#answer.reject(new Error(`the clients' process ended (${code ?? signal})`)));
    this.#answer.promise.catch(() => {});
  }

  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load();
    await load.#ask({ type: 'start', options });
    return load;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async count(): Promise<Counted> {
    return (await this.#ask({ type: 'count' })) as Counted;
  }

  /** Resolves when so many tokens have come for each stream on average. @throws Error when they have not within 30 s */
  async flowing(streams: number, tokensEach = 3): Promise<void> {
    const enough = async () => ((await this.count()).tokens >= streams * tokensEach ? true : undefined);
    if (!(await poll(enough, 30_000))) throw new Error(`after 30 s the clients have ${JSON.stringify(await this.count())}`);
  }

  /** Opens no more, lets what is open end within `limitMs`, and tells what became of all. */
  async stop(limitMs: number): Promise<LoadResult> {
    return (await this.#ask({ type: 'stop', limitMs })) as LoadResult;
  }

  /** One question at a time. */
  async #ask(message: ToLoad): Promise<unknown> {
    if (this.#child.connected) {
      this.#answer = Promise.withResolvers<unknown>();
      this.#child.send(message);
    }
    return this.#answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/** Runs a load for so long. */
export async function loadFor(options: LoadOptions, ms: number, limitMs = 15_000): Promise<LoadResult> {
  await using load = await Load.start(options);
  await pause(ms);
  return await load.stop(limitMs);
}

/** The figures that every scenario has: what came wrong, and how long readers waited. */
export function streamFigures({ verdicts, ownLagMs }: LoadResult): Record<string, number> {
  const sum = (pick: (verdict: Verdict) => number) => verdicts.reduce((total, verdict) => total + pick(verdict), 0);
  const moved = verdicts.filter(({ migrations }) => migrations > 0);
  return {
    streams: verdicts.length,
    streams_failed: verdicts.filter(({ end }) => end !== 'finished').length,
    streams_moved: moved.length,
    tokens: sum(({ tokens }) => tokens),
    tokens_lost: sum(({ lost }) => lost),
    tokens_repeated: sum(({ repeated }) => repeated),
    tokens_wrong: sum(({ wrong }) => wrong),
    worst_gap_p50_ms: percentile(
      verdicts.map(({ worstGapMs }) => worstGapMs),
      0.5,
    ),
    worst_gap_p99_ms: percentile(
      verdicts.map(({ worstGapMs }) => worstGapMs),
      0.99,
    ),
    ...(moved.length > 0
      ? {
          worst_gap_of_moved_p99_ms: percentile(
            moved.map(({ worstGapMs }) => worstGapMs),
            0.99,
          ),
        }
      : {}),
    first_token_p99_ms: percentile(verdicts.map(({ firstTokenMs }) => firstTokenMs).filter(Number.isFinite), 0.99),
    driver_lag_max_ms: ownLagMs,
  };
}

export const WHOLE = [
  { figure: 'streams_failed', most: 0, unit: 'streams' },
  { figure: 'tokens_lost', most: 0, unit: 'tokens' },
  { figure: 'tokens_repeated', most: 0, unit: 'tokens' },
  { figure: 'tokens_wrong', most: 0, unit: 'tokens' },
] as const;

/** By what streams ended that did not finish; empty when all did. */
export function failuresOf(verdicts: readonly Verdict[]): string[] {
  const counts = new Map<string, number>();
  for (const { end } of verdicts) if (end !== 'finished') counts.set(end, (counts.get(end) ?? 0) + 1);
  return counts.size === 0 ? [] : [`Streams ended with ${[...counts].map(([end, count]) => `${end} (${count})`).join(', ')}.`];
}

/** Nodes that a router saw leave, by its log. */
export function leftNodes(router: Member): number {
  return (router.output().match(/"event":"node_left"/g) ?? []).length;
}
