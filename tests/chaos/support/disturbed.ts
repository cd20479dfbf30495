/** The shape that most scenarios have: streams flow through a fleet, and something is done to it, again and again. */
import type { Findings } from '../scenario.ts';
import { monotonicMs, pause } from './clock.ts';
import type { ChaosNode, FleetOptions } from './fleet.ts';
import { Fleet } from './fleet.ts';
import { failuresOf, Load, streamFigures } from './load.ts';
import type { LoadOptions } from './load-process.ts';

/** On average, when the first thing happens: streams are told from poisonous prompts by the tokens they have. */
const UNDER_WAY_TOKENS = 12;

export interface Round {
  /** From 0. */
  readonly round: number;
  /** Resolves so long after this round began, or at the end of the load if that is sooner. */
  everyMs(ms: number): Promise<void>;
}

export interface Disturbed extends FleetOptions {
  readonly nodes: number;
  /** What differs from node to node, by its number from 1. */
  readonly node?: (number: number) => Partial<ChaosNode>;
  /** Tokens a second of each stream. */
  readonly rate: number;
  readonly streams: number;
  /** Of each answer; a stream that ends is followed by another. */
  readonly tokens: number;
  readonly durationMs: number;
  readonly load?: Partial<LoadOptions>;
  /** Before the load. */
  readonly prepare?: (fleet: Fleet) => Promise<void>;
  readonly disturb: (fleet: Fleet, round: Round) => Promise<void>;
  /** After the last round and before the streams are let end. */
  readonly mend?: (fleet: Fleet) => Promise<void>;
  /** After the last stream. */
  readonly after?: (fleet: Fleet) => Promise<void>;
}

export async function loadWithDisturbance(disturbed: Disturbed): Promise<Findings> {
  const { nodes, node = () => ({}), rate, streams, tokens, durationMs, load: more = {}, disturb } = disturbed;
  const specs = Array.from({ length: nodes }, (_, i) => ({
    id: `node-${i + 1}`,
    replay: `rate=${rate}`,
    slots: streams,
    ...node(i + 1),
  }));
  await using fleet = await Fleet.start(specs, disturbed);
  await disturbed.prepare?.(fleet);
  const options = { routers: fleet.routers, streams, tokens, prompt: 'chaos', rampMs: streams, ...more };
  await using load = await Load.start(options);
  await load.flowing(streams, UNDER_WAY_TOKENS);
  const endAt = monotonicMs() + durationMs;
  let rounds = 0;
  for (; monotonicMs() < endAt; rounds++) {
    const beganAt = monotonicMs();
    const everyMs = (ms: number) => pause(Math.max(0, Math.min(endAt, beganAt + ms) - monotonicMs()));
    await disturb(fleet, { round: rounds, everyMs });
  }
  await disturbed.mend?.(fleet);
  const result = await load.stop((1000 * tokens) / rate + 10_000);
  await disturbed.after?.(fleet);
  return { figures: { ...streamFigures(result), disturbances: rounds }, notes: failuresOf(result.verdicts) };
}
