/**
 * How long a candidate would take. Pure.
 *
 * The model is an engine that reads prompts at one rate and generates at another, whatever the number of requests: on
 * the CPU the sum of the rates of all slots is nearly what one request has alone. So load is tokens, not requests. What
 * is outstanding there takes: queued prompt tokens / prefill rate + expected answer tokens / decode rate. With no slot
 * free that is the wait: requests that share an engine evenly end close together. With slots to spare nothing is
 * waited for, and what runs there divides the rates. Requests of other routers count only by their number and their
 * queued prompts.
 *
 * An engine that gains by generating for several at once, as a GPU does, is faster than that, at most by the number of
 * its slots. A choice can live with it; a refusal is final, so it goes by `soonestMs`, which gives the engine all of it.
 */
import type { Ask, Candidate, Estimate } from './candidate.ts';

/** For a node that has measured nothing yet. */
const UNKNOWN_RATE = 10;

export function estimate(candidate: Candidate, ask: Ask): Estimate {
  const prefillRate = candidate.model.prefillTokensPerSecond || UNKNOWN_RATE;
  const decodeRate = candidate.model.decodeTokensPerSecond || UNKNOWN_RATE;
  const outstandingMs = 1000 * (candidate.queuedPromptTokens / prefillRate + candidate.expectedTokens / decodeRate);
  const waitMs = candidate.freeSlots > 0 ? 0 : outstandingMs;
  // Who had to wait enters as another leaves.
  const sharing = candidate.freeSlots > 0 ? candidate.running + 1 : Math.max(1, candidate.running);
  const firstTokenMs = waitMs + (1000 * ask.promptTokens * sharing) / prefillRate;
  const totalMs = firstTokenMs + (1000 * ask.expectedOutputTokens * sharing) / decodeRate;
  const soonestMs = waitMs / Math.max(1, candidate.model.slots) + (1000 * ask.promptTokens) / prefillRate;
  return { waitMs, firstTokenMs, totalMs, soonestMs };
}
