import { residentBytes } from '../../bench/support/process.ts';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { pause, poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';

const STREAMS = 10_000;
/** Tokens a second: an answer that is all but idle. */
const RATE = 0.2;
const TOKENS = 6;

export const idleStreams: Scenario = {
  name: 'idle-streams',
  does: `${STREAMS} streams are open and get a token every ${1 / RATE} s; the memory is what the router has with all of them, and after.`,
  targets: [...WHOLE, { figure: 'router_mb', most: 600, unit: 'MB' }, { figure: 'left_open', most: 0, unit: 'requests' }],
  async run(scale) {
    const streams = scale.streams ?? STREAMS;
    const nodes = [{ id: 'slow', replay: `rate=${RATE}`, slots: Math.min(16_384, streams) }];
    await using fleet = await Fleet.start(nodes);
    const before = residentBytes(fleet.router().pid);
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, residentBytes(fleet.router().pid));
    }, 200);
    try {
      const options = { routers: fleet.routers, streams, tokens: TOKENS, prompt: 'idle', again: false, rampMs: streams };
      await using load = await Load.start(options);
      await poll(async () => ((await load.count()).open + (await load.count()).ended >= streams ? true : undefined), 60_000, 200);
      await pause(durationMs(scale, 10));
      const result = await load.stop((1000 * TOKENS) / RATE + 20_000);
      const stats = await fleet.client.stats();
      return {
        figures: {
          ...streamFigures(result),
          router_before_mb: before / 2 ** 20,
          router_mb: most / 2 ** 20,
          router_after_mb: residentBytes(fleet.router().pid) / 2 ** 20,
          left_open: stats.requestsOpen + stats.attemptsOpen,
        },
        notes: failuresOf(result.verdicts),
      };
    } finally {
      clearInterval(watch);
    }
  },
};
