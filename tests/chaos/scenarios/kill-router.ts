import { percentile } from '../../bench/report.ts';
import type { Scenario } from '../scenario.ts';
import { answerSeconds } from '../scenario.ts';
import { pause } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';

const RATE = 20;

export const killRouter: Scenario = {
  name: 'kill-router',
  does: 'One of two routers is killed while every stream goes through it; clients know both and go on at the other.',
  targets: [...WHOLE, { figure: 'worst_gap_p99_ms', most: 1000 + 1000 / RATE, unit: 'ms (1 s and the pace of the tokens)' }],
  async run(scale) {
    const { streams = 500 } = scale;
    const tokens = RATE * answerSeconds(scale, 10);
    const nodes = [1, 2, 3].map((n) => ({ id: `node-${n}`, replay: `rate=${RATE}`, slots: streams }));
    await using fleet = await Fleet.start(nodes, { routers: 2 });
    const { routers, address } = fleet;
    const options = { routers, library: true, streams, tokens, prompt: 'router', again: false, rampMs: streams };
    await using load = await Load.start(options);
    await load.flowing(streams, RATE);
    const { open } = await load.count();
    await fleet.router(address).stop('SIGKILL');
    await pause(1000);
    const result = await load.stop(30_000);
    const { streams_moved: _, ...figures } = streamFigures(result);
    const gaps = result.verdicts.map(({ worstGapMs }) => worstGapMs);
    return {
      figures: { ...figures, streams_at_the_kill: open, worst_gap_max_ms: percentile(gaps, 1) },
      notes: failuresOf(result.verdicts),
    };
  },
};
