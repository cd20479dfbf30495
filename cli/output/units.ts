/** Quantities for people. */

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** 16_879_552 -> 17 MB */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${short(value)} ${SIZES[unit]}`;
}

/** Milliseconds: 8.2 ms, 950 ms, 1.2 s, 2 min */
export function milliseconds(ms: number): string {
  if (ms < 999.5) return `${short(ms)} ms`;
  if (ms < 99_950) return `${short(ms / 1000)} s`;
  return duration(ms / 1000);
}

/** Seconds: 42 s, 3 min, 2 h 5 min, 4 d 3 h */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Tokens per second; an empty rate was not measured. */
export function rate(perSecond: number): string {
  return perSecond > 0 ? `${short(perSecond)} tok/s` : '-';
}

export function percent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`;
}

/** US dollars, to two significant digits below ten cents: $0.000021, $0.12, $3.40 */
export function usd(value: number): string {
  if (value === 0) return '$0';
  if (Math.abs(value) >= 0.095) return `$${value.toFixed(2)}`;
  if (Math.abs(value) < 1e-9) return '< $0.000000001';
  return `$${value.toFixed(Math.min(12, 1 - Math.floor(Math.log10(Math.abs(value)))))}`;
}

/** A figure from 0 to 1: .82 */
export function share(value: number): string {
  return value >= 0.995 ? '1' : value.toFixed(2).replace(/^0/, '');
}

/** One digit after the point below 10, none above. */
function short(value: number): string {
  return value < 9.95 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toString();
}
