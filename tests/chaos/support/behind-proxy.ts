/** Two nodes under load, the link of one of them through a proxy that does to it what the scenario is about. */
import type { Findings, Scale } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { loadWithDisturbance } from './disturbed.ts';
import { WHOLE } from './load.ts';
import { FaultProxy } from './proxy.ts';

const RATE = 20;

/** What a link that carries nothing may cost the streams on it. */
export const BEHIND_PROXY_TARGETS = [
  ...WHOLE,
  { figure: 'worst_gap_p99_ms', most: 900 + 1000 / RATE, unit: 'ms (900 and the pace of the tokens)' },
] as const;

/** @param disturb does its worst to the link once, and mends it; called again and again while the load lasts */
export async function behindProxy(
  scale: Scale,
  disturb: (proxy: FaultProxy, everyMs: (ms: number) => Promise<void>) => Promise<void>,
): Promise<Findings> {
  await using proxies = new AsyncDisposableStack();
  let proxy: FaultProxy;
  const streams = scale.streams ?? 200;
  return await loadWithDisturbance({
    nodes: 1,
    rate: RATE,
    streams,
    tokens: 8 * RATE,
    durationMs: durationMs(scale, 30),
    async prepare(fleet) {
      proxy = proxies.use(await FaultProxy.before(fleet.address));
      fleet.startNode({ id: 'behind', replay: `rate=${RATE}`, slots: streams, join: [proxy.address] });
      await fleet.serving(['behind']);
    },
    disturb: (_fleet, { everyMs }) => disturb(proxy, everyMs),
    mend: async () => proxy.mend(),
  });
}
