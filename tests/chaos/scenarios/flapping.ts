import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';
import { FaultProxy } from '../support/proxy.ts';

const RATE = 20;
const UP_MS = 400;

export const flapping: Scenario = {
  name: 'flapping',
  does: "A node's connection is cut every 0.4 s, each second time inside a frame, and it dials again; the other node is well.",
  targets: [
    ...WHOLE,
    { figure: 'worst_gap_p99_ms', most: 250 + 1000 / RATE, unit: 'ms (250 and the pace of the tokens)' },
    { figure: 'streams_moved_per_cut', most: 5, unit: 'streams: a node that flaps is given little' },
  ],
  run: async (scale) => {
    await using proxies = new AsyncDisposableStack();
    let proxy: FaultProxy;
    const streams = scale.streams ?? 200;
    const found = await loadWithDisturbance({
      nodes: 1,
      rate: RATE,
      streams,
      tokens: 2 * RATE,
      durationMs: durationMs(scale, 30),
      async prepare(fleet) {
        proxy = proxies.use(await FaultProxy.before(fleet.address));
        fleet.startNode({ id: 'flaps', replay: `rate=${RATE}`, slots: streams, join: [proxy.address] });
        await fleet.serving(['flaps']);
      },
      async disturb(_fleet, { round, everyMs }) {
        if (round % 2 === 0) proxy.cut();
        else proxy.cutInside();
        await everyMs(UP_MS);
      },
    });
    const { streams_moved = 0, disturbances = 1 } = found.figures;
    return { ...found, figures: { ...found.figures, streams_moved_per_cut: streams_moved / disturbances } };
  },
};
