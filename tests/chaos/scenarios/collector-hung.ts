import { once } from 'node:events';
import { createServer } from 'node:net';
import { residentBytes } from '../../bench/support/process.ts';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { monotonicMs } from '../support/clock.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const RATE = 20;

export const collectorHung: Scenario = {
  name: 'collector-hung',
  does: 'The OTLP collector of router and nodes takes connections and never answers; requests go on, and processes end in time.',
  targets: [
    ...WHOLE,
    { figure: 'first_token_p99_ms', most: 1000, unit: 'ms' },
    { figure: 'router_growth_mb', most: 150, unit: 'MB' },
    { figure: 'node_end_ms', most: 4000, unit: 'ms (2 s for what is left to be exported)' },
  ],
  run: async (scale) => {
    const sockets = new Set<{ destroy(): void }>();
    const collector = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}).resume();
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const endpoint = `http://127.0.0.1:${(collector.address() as { port: number }).port}`;
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '200' };
    let before = 0;
    let growth = 0;
    let node_end_ms = 0;
    try {
      const found = await loadWithDisturbance({
        nodes: 2,
        node: () => ({ env }),
        routerEnv: env,
        rate: RATE,
        streams: scale.streams ?? 100,
        tokens: RATE,
        durationMs: durationMs(scale, 20),
        prepare: async (fleet) => {
          before = residentBytes(fleet.router().pid);
        },
        disturb: (_fleet, { everyMs }) => everyMs(1000),
        mend: async (fleet) => {
          growth = residentBytes(fleet.router().pid) - before;
          fleet.startNode({ id: 'leaves', replay: `rate=${RATE}`, slots: 1, model: 'other', env });
          await fleet.serving(['leaves']);
          const since = monotonicMs();
          await fleet.node('leaves').stop();
          node_end_ms = monotonicMs() - since;
        },
      });
      return { ...found, figures: { ...found.figures, router_growth_mb: growth / 2 ** 20, node_end_ms } };
    } finally {
      for (const socket of sockets) socket.destroy();
      collector.close();
    }
  },
};
