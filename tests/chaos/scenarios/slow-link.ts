import type { Scenario } from '../scenario.ts';
import { BEHIND_PROXY_TARGETS, behindProxy } from '../support/behind-proxy.ts';

export const slowLink: Scenario = {
  name: 'slow-link',
  does: "A node's link to the router carries 1 byte a second for 10 s of each 12; the other node is well.",
  targets: BEHIND_PROXY_TARGETS,
  run: (scale) =>
    behindProxy(scale, async (proxy, everyMs) => {
      proxy.slow(1);
      await everyMs(10_000);
      proxy.mend();
      await everyMs(12_000);
    }),
};
