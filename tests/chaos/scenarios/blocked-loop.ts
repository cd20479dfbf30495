import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { faultyProcess } from '../support/fleet.ts';
import { leftNodes, WHOLE } from '../support/load.ts';

const RATE = 20;
const BLOCK_MS = 2000;

export const blockedLoop: Scenario = {
  name: 'blocked-loop',
  does: "The router's event loop stands still for 2 s of each 6; it must not take its own lateness for its nodes' silence.",
  targets: [
    ...WHOLE,
    { figure: 'nodes_left', most: 0, unit: 'nodes' },
    { figure: 'streams_moved', most: 0, unit: 'streams' },
    { figure: 'worst_gap_p99_ms', most: BLOCK_MS + 500, unit: 'ms (the 2 s, and 0.5 to get going)' },
  ],
  run: async (scale) => {
    let left = 0;
    const found = await loadWithDisturbance({
      nodes: 2,
      routerEnv: faultyProcess({ CHAOS_BLOCK_MS: String(BLOCK_MS) }),
      rate: RATE,
      streams: scale.streams ?? 200,
      tokens: 10 * RATE,
      durationMs: durationMs(scale, 20),
      async disturb(fleet, { everyMs }) {
        fleet.router().process.kill('SIGUSR2');
        await everyMs(6000);
      },
      mend: async (fleet) => {
        left = leftNodes(fleet.router());
      },
    });
    return { ...found, figures: { ...found.figures, nodes_left: left } };
  },
};
