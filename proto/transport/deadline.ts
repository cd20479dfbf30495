/**
 * Deadlines: how long a call may take, from the grpc-timeout header to the timer that ends it. Node's timers and
 * grpc-js both wrap past 2^31 ms, so everything is clamped to `MAX_DEADLINE_MS` first.
 */

/** For calls that name no deadline. */
export const DEFAULT_DEADLINE_MS = 120_000;
/** The longest that is honoured; longer ones are cut to it. */
export const MAX_DEADLINE_MS = 3_600_000;
/** Kept back at each hop, so that the caller hears the callee's own error before its deadline cuts the call. */
export const HOP_MARGIN_MS = 20;

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * A grpc-timeout header as milliseconds, at most `MAX_DEADLINE_MS`. Rounded up to 1 unless it is zero.
 * @returns undefined where the header is not of the protocol's form: up to 8 digits and a unit
 */
export function parseTimeout(header: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(header);
  if (!match) return undefined;
  const ms = Number(match[1]) * (UNIT_MS[match[2] as string] as number);
  return Math.min(Math.ceil(ms), MAX_DEADLINE_MS);
}

/** What a client asks of the wire: undefined takes the default, longer ones are cut. */
export function clampDeadline(ms: number | undefined): number {
  return ms === undefined ? DEFAULT_DEADLINE_MS : Math.min(Math.max(0, ms), MAX_DEADLINE_MS);
}
