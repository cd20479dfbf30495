import { percentile } from '../../bench/report.ts';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import type { Verdict } from '../support/check.ts';
import { Fleet } from '../support/fleet.ts';
import { loadFor, streamFigures } from '../support/load.ts';

const NODES = 2;
const SLOTS = 8;
const RATE = 50;
const TOKENS = 20;
/** What the slots can do: each answer takes so long. */
const CAPACITY_PER_SECOND = (NODES * SLOTS * RATE) / TOKENS;
const TIMES = 5;

export const overload: Scenario = {
  name: 'overload',
  does: `${TIMES} times as many requests arrive as the slots can answer; what is answered is held against the best without overload.`,
  targets: [
    { figure: 'goodput_share_of_peak', least: 0.9, unit: 'of peak' },
    { figure: 'refusal_p99_ms', most: 20, unit: 'ms' },
    { figure: 'refused_otherwise', most: 0, unit: 'requests with another end than QUEUE_FULL or DEADLINE_EXCEEDED' },
    { figure: 'tokens_wrong', most: 0, unit: 'tokens' },
  ],
  async run(scale) {
    const nodes = Array.from({ length: NODES }, (_, n) => ({ id: `node-${n + 1}`, replay: `rate=${RATE}`, slots: SLOTS }));
    await using fleet = await Fleet.start(nodes);
    const base = { routers: fleet.routers, tokens: TOKENS, deadlineMs: 10_000 };
    const ms = durationMs(scale, 15);
    const seconds = ms / 1000;
    const good = (verdicts: readonly Verdict[]) => verdicts.filter(({ end }) => end === 'finished').length / seconds;
    const peak = await loadFor({ ...base, prompt: 'peak', streams: NODES * SLOTS }, ms, 0);
    const flood = await loadFor({ ...base, prompt: 'flood', arrivalsPerSecond: TIMES * CAPACITY_PER_SECOND }, ms, 0);
    const refused = flood.verdicts.filter(({ end }) => !['finished', 'UNFINISHED'].includes(end));
    const refusals = refused.filter(({ end }) => end === 'QUEUE_FULL').map(({ totalMs }) => totalMs);
    const { tokens_wrong = 0 } = streamFigures(flood);
    return {
      figures: {
        arrivals_per_s: flood.verdicts.length / seconds,
        peak_per_s: good(peak.verdicts),
        goodput_per_s: good(flood.verdicts),
        goodput_share_of_peak: good(flood.verdicts) / good(peak.verdicts),
        refused: refusals.length,
        refusal_p50_ms: percentile(refusals, 0.5),
        refusal_p99_ms: percentile(refusals, 0.99),
        refused_otherwise: refused.filter(({ end }) => !['QUEUE_FULL', 'DEADLINE_EXCEEDED'].includes(end)).length,
        answered_p99_ms: percentile(
          flood.verdicts.filter(({ end }) => end === 'finished').map(({ totalMs }) => totalMs),
          0.99,
        ),
        tokens_wrong,
        driver_lag_max_ms: flood.ownLagMs,
      },
    };
  },
};
