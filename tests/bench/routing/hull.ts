/**
 * Cost against quality, as in RouterBench: the best that mixing can make of some points is their hull, and a hull's
 * area over the range of costs is its AIQ. Pure.
 */
export interface Point {
  /** US dollars per request, on average. */
  readonly cost: number;
  /** Mean score, 0 to 1. */
  readonly quality: number;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The points on the non-decreasing concave hull, cheapest first. */
export function hullOf(points: readonly Point[]): Point[] {
  const sorted = points.toSorted((a, b) => a.cost - b.cost || b.quality - a.quality);
  const hull: Point[] = [];
  for (const point of sorted) {
    if (hull.length > 0 && point.quality <= (hull.at(-1) as Point).quality) continue;
    while (hull.length > 1 && slope(hull.at(-2) as Point, point) >= slope(hull.at(-2) as Point, hull.at(-1) as Point)) hull.pop();
    hull.push(point);
  }
  return hull;
}

function slope(a: Point, b: Point): number {
  return (b.quality - a.quality) / (b.cost - a.cost);
}

/** What the hull reaches for that cost: nothing below its cheapest point, no more beyond its best. */
export function qualityAt(hull: readonly Point[], cost: number): number {
  const after = hull.findIndex((point) => point.cost > cost);
  if (after === 0) return 0;
  if (after < 0) return hull.at(-1)?.quality ?? 0;
  const left = hull[after - 1] as Point;
  return left.quality + (cost - left.cost) * slope(left, hull[after] as Point);
}

/** Smallest cost at which the hull reaches that quality; NaN if it never does. */
export function costOf(hull: readonly Point[], quality: number): number {
  const reached = hull.findIndex((point) => point.quality >= quality);
  if (reached < 0) return Number.NaN;
  const right = hull[reached] as Point;
  if (reached === 0) return right.cost;
  const left = hull[reached - 1] as Point;
  return left.cost + (quality - left.quality) / slope(left, right);
}

/** Average improvement in quality: the hull's area divided by the range of costs. */
export function aiq(hull: readonly Point[], { from, to }: Range): number {
  const corners = [from, ...hull.map(({ cost }) => cost).filter((cost) => cost > from && cost < to), to];
  let area = 0;
  for (let i = 1; i < corners.length; i++) {
    const [left, right] = [corners[i - 1] as number, corners[i] as number];
    if (left < (hull[0] as Point).cost) continue;
    area += ((right - left) * (qualityAt(hull, left) + qualityAt(hull, right))) / 2;
  }
  return area / (to - from);
}

/** From the cheapest of the points to the dearest. */
export function rangeOf(points: readonly Point[]): Range {
  const costs = points.map(({ cost }) => cost);
  return { from: Math.min(...costs), to: Math.max(...costs) };
}
