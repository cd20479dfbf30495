/**
 * How long a candidate would take. Pure.
 *
 * Load is tokens, not requests: the wait is what is outstanding there over the rate at which it is worked off. Requests
 * that generate together share the engine, so one's rate falls with the number of the others; on the CPU the sum of
 * the rates is nearly constant.
 */
import type { Ask, Candidate, Estimate } from './candidate.ts';

/** For a node that has measured nothing yet. */
const UNKNOWN_RATE = 10;

export function estimate(candidate: Candidate, ask: Ask): Estimate {
  const prefillRate = candidate.model.prefillTokensPerSecond || UNKNOWN_RATE;
  const decodeRate = candidate.model.decodeTokensPerSecond || UNKNOWN_RATE;
  const sharing = candidate.running + 1;
  const waitMs =
    candidate.freeSlots > 0 ? 0 : (1000 * candidate.outstandingTokens) / decodeRate / Math.max(1, candidate.model.slots);
  const firstTokenMs = waitMs + (1000 * ask.promptTokens * sharing) / prefillRate;
  return { waitMs, firstTokenMs, totalMs: firstTokenMs + (1000 * ask.expectedOutputTokens * sharing) / decodeRate };
}
