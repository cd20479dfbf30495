/** All scenarios, in the order in which they run. */
import type { Scenario } from './scenario.ts';
import { blockedLoop } from './scenarios/blocked-loop.ts';
import { cancelStorm } from './scenarios/cancel-storm.ts';
import { clockJump } from './scenarios/clock-jump.ts';
import { collectorHung } from './scenarios/collector-hung.ts';
import { credentials } from './scenarios/credentials.ts';
import { diskFull } from './scenarios/disk-full.ts';
import { duplicateIds } from './scenarios/duplicate-ids.ts';
import { flapping } from './scenarios/flapping.ts';
import { halfOpen } from './scenarios/half-open.ts';
import { idleStreams } from './scenarios/idle-streams.ts';
import { killNodes } from './scenarios/kill-nodes.ts';
import { killRouter } from './scenarios/kill-router.ts';
import { lyingCapacity } from './scenarios/lying-capacity.ts';
import { mutatedFrames } from './scenarios/mutated-frames.ts';
import { overload } from './scenarios/overload.ts';
import { poison } from './scenarios/poison.ts';
import { REDIS_INJECTION } from './scenarios/redis/injection.ts';
import { REDIS_OUTAGES } from './scenarios/redis/outages.ts';
import { REDIS_REFUSALS } from './scenarios/redis/refusals.ts';
import { REDIS_VALUES } from './scenarios/redis/values.ts';
import { registrationStorm } from './scenarios/registration-storm.ts';
import { rollingRestarts } from './scenarios/rolling-restarts.ts';
import { slowLink } from './scenarios/slow-link.ts';
import { stalledReaders } from './scenarios/stalled-readers.ts';
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
  duplicateIds,
  lyingCapacity,
  registrationStorm,
  cancelStorm,
  overload,
  stalledReaders,
  idleStreams,
  clockJump,
  blockedLoop,
  collectorHung,
  diskFull,
  credentials,
  mutatedFrames,
  ...REDIS_OUTAGES,
  ...REDIS_REFUSALS,
  ...REDIS_VALUES,
  ...REDIS_INJECTION,
];
