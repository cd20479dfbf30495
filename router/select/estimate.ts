/**
 * How long a candidate would take. Pure.
 *
 * The model is an engine that reads prompts at one rate and generates at another, whatever the number of requests: on
 * the CPU the sum of the rates of all slots is nearly what one request has alone. So load is tokens, not requests. What
 * is outstanding there takes: queued prompt tokens / prefill rate + expected answer tokens / decode rate. With no slot
 * free that is the wait: requests that share an engine evenly end close together. Whoever stands in the line before
 * this one is taken to need as much as this one. With slots to spare nothing is waited for, and what runs there divides
 * the rates. Requests of other routers count only by their number and their queued prompts.
 *
 * A model that is not in memory costs the time of its loading, then all who wait for it share the engine.
 *
 * An engine that gains by generating for several at once, as a GPU does, is faster than that, at most by the number of
 * its slots. A choice can live with it; a refusal is final, so it goes by `soonestMs`, which gives the engine all of it.
 */
import type { Candidate, Cold, Estimate } from './candidate.ts';

/** For a node that has measured nothing yet. */
const UNKNOWN_RATE = 10;
/** Of an answer that keeps a slot and of which only its existence is known, this much is still to come. */
const SHARE_TO_COME = 0.5;
/** A node may have this many times the tokens that its model's nodes have on the average, and one request more. */
const LOAD_CAP = 1.25;

/** How large a request is. */
export interface Extent {
  readonly promptTokens: number;
  readonly expectedOutputTokens: number;
}

/** @param cachedTokens of the prompt, which need no reading there */
export function estimate(candidate: Candidate, { promptTokens, expectedOutputTokens }: Extent, cachedTokens = 0): Estimate {
  const { model, freeSlots, running, restsMs = 0 } = candidate;
  const prefillRate = (model.prefillTokensPerSecond || UNKNOWN_RATE) / 1000;
  const decodeRate = (model.decodeTokensPerSecond || UNKNOWN_RATE) / 1000;
  const free = freeSlots > 0;
  const prefillMs = (promptTokens - cachedTokens) / prefillRate;
  const decodeMs = expectedOutputTokens / decodeRate;
  const engineMs = prefillMs + decodeMs;
  if (candidate.cold) return afterLoading(candidate, candidate.cold, { prefillMs, decodeMs, engineMs });
  const queuedMs = candidate.queuedPromptTokens / prefillRate;
  const knownMs = free ? 0 : queuedMs + candidate.expectedTokens / decodeRate;
  const leastMs = free ? 0 : queuedMs + SHARE_TO_COME * decodeMs;
  const waitMs = restsMs + (free ? 0 : Math.max(knownMs, leastMs) + candidate.waiting * engineMs);
  // Who had to wait enters as another leaves.
  const sharing = free ? running + 1 : Math.max(1, running);
  const firstTokenMs = waitMs + prefillMs * sharing;
  return {
    waitMs,
    firstTokenMs,
    totalMs: firstTokenMs + decodeMs * sharing,
    soonestMs: restsMs + knownMs / Math.max(1, model.slots) + prefillMs,
    engineMs,
  };
}

/** What the engine needs for one request, in milliseconds. */
interface Needs {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly engineMs: number;
}

function afterLoading(
  { model, waiting }: Candidate,
  { readyMs, soonestMs }: Cold,
  { prefillMs, decodeMs, engineMs }: Needs,
): Estimate {
  const slots = Math.max(1, model.slots);
  const sharing = Math.min(waiting + 1, slots);
  const waitMs = readyMs + (waiting + 1 - sharing) * engineMs;
  const firstTokenMs = waitMs + prefillMs * sharing;
  return { waitMs, firstTokenMs, totalMs: firstTokenMs + decodeMs * sharing, soonestMs: soonestMs + prefillMs, engineMs };
}

/** Tokens still to be worked off there. */
export function outstandingTokens({ queuedPromptTokens, expectedTokens }: Candidate): number {
  return queuedPromptTokens + expectedTokens;
}

/**
 * Whether a node has so much more to do than the others with its model that nobody is sent there for what is in its
 * KV cache: else all who share a beginning would pile up on one node. As consistent hashing with bounded loads does it
 * (Mirrokni, Thorup, Zadimoghaddam, 2018).
 */
export function overloaded(outstanding: number, mean: number, { promptTokens, expectedOutputTokens }: Extent): boolean {
  return outstanding > LOAD_CAP * mean + promptTokens + expectedOutputTokens;
}

const bits = new DataView(new ArrayBuffer(8));
const KEPT = 0xfffe_0000;

/**
 * The step below, on steps of 7 to 12 %: closer than that no estimate tells two nodes apart. A number keeps its first
 * binary digit and the three after it.
 */
export function onGrid(value: number): number {
  bits.setFloat64(0, value);
  bits.setUint32(0, bits.getUint32(0) & KEPT);
  bits.setUint32(4, 0);
  return bits.getFloat64(0);
}
