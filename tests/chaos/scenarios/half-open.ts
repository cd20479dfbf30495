import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';
import { FaultProxy } from '../support/proxy.ts';

const RATE = 20;

export const halfOpen: Scenario = {
  name: 'half-open',
  does: "A node's connection stays open and loses everything that is sent on it, for 8 s of each 10; the other node is well.",
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
        proxy.swallow();
        await everyMs(8000);
        proxy.mend();
        // What was lost in the middle makes the rest of the connection senseless; it is over.
        proxy.cut();
        await everyMs(10_000);
      },
      mend: async () => proxy.mend(),
    });
  },
};
