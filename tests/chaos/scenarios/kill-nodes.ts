import type { Scenario } from '../scenario.ts';
import { answerSeconds, durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const NODES = 6;
const RATE = 20;

export const killNodes: Scenario = {
  name: 'kill-nodes',
  does: 'A node is killed (SIGKILL) each second and started again, while streams run on all of them.',
  targets: [...WHOLE, { figure: 'worst_gap_p99_ms', most: 250 + 1000 / RATE, unit: 'ms (250 and the pace of the tokens)' }],
  run: (scale) => {
    const streams = scale.streams ?? 1000;
    return loadWithDisturbance({
      nodes: NODES,
      rate: RATE,
      streams,
      tokens: RATE * answerSeconds(scale, 8),
      durationMs: durationMs(scale, 30),
      async disturb(fleet, { round, everyMs }) {
        const id = `node-${1 + (round % NODES)}`;
        await fleet.node(id).stop('SIGKILL');
        fleet.startNode(id);
        await everyMs(1000);
      },
    });
  },
};
