import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { percentile } from '../../bench/report.ts';
import { cpuSeconds } from '../../bench/support/process.ts';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { pause, poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, loadFor, streamFigures } from '../support/load.ts';

const RATE = 50;
const CANCELS_PER_SECOND = 500;

interface Counted {
  readonly prompt: string;
  readonly tokens: number;
  /** By the machine's monotonic clock. */
  readonly lastAt: number;
}

export const cancelStorm: Scenario = {
  name: 'cancel-storm',
  does: `${CANCELS_PER_SECOND} streams a second are opened and cancelled within 0.5 s of their first token; the engines count what they give.`,
  targets: [
    { figure: 'last_token_after_cancel_p99_ms', most: 100, unit: 'ms' },
    { figure: 'tokens_wrong', most: 0, unit: 'tokens' },
    { figure: 'streams_failed', most: 0, unit: 'streams that ended otherwise than by the cancel' },
    { figure: 'left_open', most: 0, unit: 'requests' },
  ],
  async run(scale) {
    const perSecond = scale.streams ?? CANCELS_PER_SECOND;
    const seconds = durationMs(scale, 60) / 1000;
    const count = join(tmpdir(), `infermesh-chaos-count-${process.pid}`);
    const nodes = [1, 2].map((n) => ({
      id: `node-${n}`,
      replay: `rate=${RATE}`,
      slots: 2000,
      faults: { CHAOS_COUNT: `${count}-${n}` },
    }));
    await using fleet = await Fleet.start(nodes);
    const options = {
      routers: fleet.routers,
      arrivalsPerSecond: perSecond,
      tokens: 60 * RATE,
      prompt: 'cancel',
      cancelWithinMs: 500,
    };
    const cpuBefore = cpuSeconds(fleet.router().pid);
    const result = await loadFor(options, seconds * 1000);
    const cpu = cpuSeconds(fleet.router().pid) - cpuBefore;
    const open = async () => {
      const { requestsOpen, attemptsOpen } = await fleet.client.stats();
      return requestsOpen + attemptsOpen;
    };
    await poll(async () => ((await open()) === 0 ? true : undefined), 5000);
    // The engines write down what they counted every 0.2 s.
    await pause(500);
    const lastAt = new Map(nodes.flatMap(({ faults }) => countedIn(faults.CHAOS_COUNT)));
    const cancelled = result.verdicts.filter(({ cancelledAt }) => Number.isFinite(cancelledAt));
    const after = cancelled.flatMap(({ prompt, cancelledAt }) => {
      const last = lastAt.get(prompt);
      return last === undefined ? [] : [last - cancelledAt];
    });
    const { tokens_wrong = 0, tokens_repeated = 0, tokens_lost = 0 } = streamFigures(result);
    return {
      figures: {
        streams: result.verdicts.length,
        cancels: cancelled.length,
        cancels_per_s: cancelled.length / seconds,
        cancels_counted_by_engines: after.length,
        streams_failed: result.verdicts.filter(({ end }) => end !== 'CANCELLED').length,
        last_token_after_cancel_p50_ms: percentile(after, 0.5),
        last_token_after_cancel_p99_ms: percentile(after, 0.99),
        last_token_after_cancel_max_ms: percentile(after, 1),
        tokens_wrong,
        tokens_repeated,
        tokens_lost,
        left_open: await open(),
        driver_lag_max_ms: result.ownLagMs,
        router_cpu_share: cpu / seconds,
      },
      notes: failuresOf(result.verdicts.filter(({ end }) => end !== 'CANCELLED')),
    };
  },
};

function countedIn(file: string): [string, number][] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').trim().split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Counted).map(({ prompt, lastAt }) => [prompt, lastAt]);
}
