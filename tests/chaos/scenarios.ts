/** All scenarios, in the order in which they run. */
import type { Scenario } from './scenario.ts';
import { flapping } from './scenarios/flapping.ts';
import { halfOpen } from './scenarios/half-open.ts';
import { killNodes } from './scenarios/kill-nodes.ts';
import { killRouter } from './scenarios/kill-router.ts';
import { poison } from './scenarios/poison.ts';
import { rollingRestarts } from './scenarios/rolling-restarts.ts';
import { slowLink } from './scenarios/slow-link.ts';
import { stopNodes } from './scenarios/stop-nodes.ts';
import { wedged } from './scenarios/wedged.ts';

export const SCENARIOS: readonly Scenario[] = [
  killNodes,
  stopNodes,
  killRouter,
  poison,
  wedged,
  halfOpen,
  slowLink,
  flapping,
  rollingRestarts,
];
