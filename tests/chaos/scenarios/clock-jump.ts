import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { faultyProcess } from '../support/fleet.ts';
import { leftNodes, WHOLE } from '../support/load.ts';

const RATE = 20;
const HOUR_MS = 3_600_000;

export const clockJump: Scenario = {
  name: 'clock-jump',
  does: "The wall clocks of the router and of a node jump an hour ahead and back (Date of the process, not the machine's), in turn.",
  targets: [...WHOLE, { figure: 'nodes_left', most: 0, unit: 'nodes' }, { figure: 'streams_moved', most: 0, unit: 'streams' }],
  run: async (scale) => {
    const streams = scale.streams ?? 200;
    let left = 0;
    const found = await loadWithDisturbance({
      nodes: 2,
      node: () => ({ env: faultyProcess({ CHAOS_CLOCK_JUMP_MS: String(HOUR_MS) }) }),
      routerEnv: faultyProcess({ CHAOS_CLOCK_JUMP_MS: String(HOUR_MS) }),
      rate: RATE,
      streams,
      tokens: 4 * RATE,
      durationMs: durationMs(scale, 20),
      async disturb(fleet, { round, everyMs }) {
        const who = round % 2 === 0 ? fleet.router() : fleet.node('node-1');
        who.process.kill('SIGUSR2');
        await everyMs(2500);
      },
      mend: async (fleet) => {
        left = leftNodes(fleet.router());
      },
    });
    return { ...found, figures: { ...found.figures, nodes_left: left } };
  },
};
