import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const RATE = 20;
const CLAIMED = 10_000;

export const lyingCapacity: Scenario = {
  name: 'lying-capacity',
  does: `A node claims ${CLAIMED} slots and has 2, a node beside it says the truth; what the router sees must count more than what is claimed.`,
  targets: [...WHOLE, { figure: 'first_token_p99_ms', most: 5000, unit: 'ms (what the honest node alone would need)' }],
  run: (scale) => {
    const streams = scale.streams ?? 100;
    return loadWithDisturbance({
      nodes: 2,
      node: (number) =>
        number === 1 ? { id: 'liar', slots: CLAIMED, faults: { CHAOS_REAL_SLOTS: '2' } } : { id: 'honest', slots: streams },
      rate: RATE,
      streams,
      tokens: RATE,
      durationMs: durationMs(scale, 20),
      disturb: (_fleet, { everyMs }) => everyMs(1000),
    });
  },
};
