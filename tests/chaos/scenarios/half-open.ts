import type { Scenario } from '../scenario.ts';
import { BEHIND_PROXY_TARGETS, behindProxy } from '../support/behind-proxy.ts';

export const halfOpen: Scenario = {
  name: 'half-open',
  does: "A node's connection stays open and loses everything that is sent on it, for 8 s of each 10; the other node is well.",
  targets: BEHIND_PROXY_TARGETS,
  run: (scale) =>
    behindProxy(scale, async (proxy, everyMs) => {
      proxy.swallow();
      await everyMs(8000);
      proxy.mend();
      // What was lost in the middle makes the rest of the connection senseless; it is over.
      proxy.cut();
      await everyMs(10_000);
    }),
};
