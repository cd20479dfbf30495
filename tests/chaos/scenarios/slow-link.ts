import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';
import { FaultProxy } from '../support/proxy.ts';

const RATE = 20;

export const slowLink: Scenario = {
  name: 'slow-link',
  does: "A node's link to the router carries 1 byte a second for 10 s of each 12; the other node is well.",
  targets: [...WHOLE, { figure: 'worst_gap_p99_ms', most: 900 + 1000 / RATE, unit: 'ms (900 and the pace of the tokens)' }],
  run: async (scale) => {
    await using proxies = new AsyncDisposableStack();
    let proxy: FaultProxy;
    return await loadWithDisturbance({
      nodes: 1,
      rate: RATE,
      streams: scale.streams ?? 200,
      tokens: 8 * RATE,
      durationMs: durationMs(scale, 30),
      async prepare(fleet) {
        proxy = proxies.use(await FaultProxy.before(fleet.address));
        fleet.startNode({ id: 'behind', replay: `rate=${RATE}`, slots: scale.streams ?? 200, join: [proxy.address] });
        await fleet.serving(['behind']);
      },
      async disturb(_fleet, { everyMs }) {
        proxy.slow(1);
        await everyMs(10_000);
        proxy.mend();
        await everyMs(12_000);
      },
      mend: async () => proxy.mend(),
    });
  },
};
