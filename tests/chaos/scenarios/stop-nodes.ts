import type { Scenario } from '../scenario.ts';
import { answerSeconds, durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const NODES = 4;
const RATE = 50;
/** In turn; the first is shorter than what a router puts up with, the last longer than a lease. */
const STOPS_MS = [500, 2000, 30_000];

export const stopNodes: Scenario = {
  name: 'stop-nodes',
  does: 'A node stands still (SIGSTOP) for 0.5, 2 and 30 s in turn and then goes on, while streams run on all of them.',
  targets: [...WHOLE, { figure: 'worst_gap_p99_ms', most: 900 + 1000 / RATE, unit: 'ms (900 and the pace of the tokens)' }],
  run: (scale) => {
    const waking: NodeJS.Timeout[] = [];
    return loadWithDisturbance({
      nodes: NODES,
      rate: RATE,
      streams: scale.streams ?? 500,
      tokens: RATE * answerSeconds(scale, 8),
      durationMs: durationMs(scale, 40),
      async disturb(fleet, { round, everyMs }) {
        // One node is never stopped, so that there is always somewhere to go on.
        const member = fleet.node(`node-${2 + (round % (NODES - 1))}`);
        member.process.kill('SIGSTOP');
        waking.push(setTimeout(() => member.process.kill('SIGCONT'), STOPS_MS[round % STOPS_MS.length] as number));
        await everyMs(3000);
      },
      async mend(fleet) {
        for (const timer of waking) clearTimeout(timer);
        for (const member of fleet.nodes.values()) member.process.kill('SIGCONT');
      },
    });
  },
};
