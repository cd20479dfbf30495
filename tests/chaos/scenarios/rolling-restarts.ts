import type { Scenario } from '../scenario.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const NODES = 3;
const RATE = 20;
const RESTARTS = 20;
/** Between two members' restarts; the next one waits until the last one serves. */
const PACE_MS = 1500;
/** Shorter than the answers, so that streams must be handed on rather than be waited for. */
const DRAIN_MS = 1000;

export const rollingRestarts: Scenario = {
  name: 'rolling-restarts',
  does: `Everything is restarted in order (SIGTERM, ${RESTARTS} times: each node, each of two routers, and again) under load.`,
  targets: [...WHOLE, { figure: 'restarts', least: RESTARTS, unit: 'restarts' }],
  async run({ streams = 200 }) {
    let restarts = 0;
    let killed = 0;
    const found = await loadWithDisturbance({
      routers: 2,
      routerFlags: ['--drain-ms', String(DRAIN_MS)],
      nodes: NODES,
      node: () => ({ flags: ['--drain-ms', String(DRAIN_MS)] }),
      rate: RATE,
      streams,
      tokens: 5 * RATE,
      durationMs: 1,
      load: { library: true },
      async disturb(fleet, { everyMs }) {
        for (; restarts < RESTARTS; restarts++) {
          const at = restarts % (NODES + 2);
          const router = fleet.routers[at - NODES];
          if (router) {
            await fleet
              .router(router)
              .stop()
              .catch(() => killed++);
            await fleet.startRouter(router);
          } else {
            await fleet
              .node(`node-${at + 1}`)
              .stop()
              .catch(() => killed++);
            fleet.startNode(`node-${at + 1}`);
          }
          await fleet.serving([...fleet.nodes.keys()]);
          await everyMs(PACE_MS);
        }
      },
    });
    const { disturbances: _, ...figures } = found.figures;
    return { ...found, figures: { ...figures, restarts, members_that_did_not_end: killed } };
  },
};
