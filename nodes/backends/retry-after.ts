/** When a server wants to be asked again. Pure. */

/** Lower-case names, as node:http has them. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** For so long a server that could not be reached is left alone, and what would go there goes elsewhere, in milliseconds. */
export const UNREACHABLE_MS = 2_000;

/** A server that says more than this has gone rather than a rest. */
const LONGEST_MS = 600_000;
const NUMBER = /^\d+(?:\.\d+)?$/;

/**
 * https://www.rfc-editor.org/rfc/rfc9110#field.retry-after; `retry-after-ms` is what Azure and OpenAI send beside it.
 * @param now milliseconds since 1970, for a `retry-after` that is a date
 * @returns milliseconds from now, up to ten minutes; undefined where it does not say
 */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const header = (name: string) => [headers[name]].flat()[0]?.trim() ?? '';
  const inMs = header('retry-after-ms');
  if (NUMBER.test(inMs)) return bounded(Number(inMs));
  const given = header('retry-after');
  if (given === '') return undefined;
  const ms = NUMBER.test(given) ? Number(given) * 1000 : Date.parse(given) - now;
  return Number.isNaN(ms) ? undefined : bounded(ms);
}

const bounded = (ms: number) => Math.min(LONGEST_MS, Math.max(0, Math.ceil(ms)));
