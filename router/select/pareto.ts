/**
 * The front of non-dominated points, exact for any number of objectives, and how thinly it is covered. Pure.
 *
 * Points are indices into columns, one column for each objective; less is better in all of them. A point is dominated
 * when another is nowhere worse and somewhere better, so equal points stand or fall together.
 */

export type Column = ArrayLike<number>;

/** @returns those of the points that none of them dominates, in ascending order */
export function nonDominated(columns: readonly Column[], points: readonly number[]): number[] {
  const sorted = points.toSorted((a, b) => lexicographic(columns, a, b) || a - b);
  const front = columns.length <= 2 ? sweep(columns, sorted) : scan(columns, sorted);
  return front.sort((a, b) => a - b);
}

/** In sorted order the second objective must fall each time the first rises: O(n log n) with the sort. */
function sweep(columns: readonly Column[], sorted: readonly number[]): number[] {
  const last = columns[columns.length - 1] as Column;
  const front: number[] = [];
  for (const point of sorted) {
    const before = front[front.length - 1];
    if (before === undefined || at(last, point) < at(last, before) || lexicographic(columns, point, before) === 0) {
      front.push(point);
    }
  }
  return front;
}

/** In sorted order nobody is dominated by one that comes later, so each is held against the front so far: O(n x front). */
function scan(columns: readonly Column[], sorted: readonly number[]): number[] {
  const front: number[] = [];
  for (const point of sorted) {
    if (!front.some((other) => dominates(columns, other, point))) front.push(point);
  }
  return front;
}

export function dominates(columns: readonly Column[], a: number, b: number): boolean {
  let better = false;
  for (const column of columns) {
    const difference = at(column, a) - at(column, b);
    if (difference > 0) return false;
    if (difference < 0) better = true;
  }
  return better;
}

/** Order by the first column, then the second and so on; whoever dominates comes first. */
export function lexicographic(columns: readonly Column[], a: number, b: number): number {
  for (const column of columns) {
    const difference = at(column, a) - at(column, b);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * Crowding distance of each point of a front: the mean side of the box between its neighbours, each objective scaled
 * to the front's range (Deb, Pratap, Agarwal, Meyarivan: NSGA-II, 2002), where the ends of a range, infinite there,
 * count 1 here.
 * @returns 0 to 1, in the order of the front
 */
export function crowding(columns: readonly Column[], front: readonly number[]): number[] {
  if (front.length === 1) return [1];
  const sums = new Map(front.map((point) => [point, 0]));
  for (const column of columns) {
    const sorted = front.toSorted((a, b) => at(column, a) - at(column, b) || a - b);
    const [low, high] = [sorted[0] as number, sorted[sorted.length - 1] as number];
    const range = at(column, high) - at(column, low);
    if (range === 0) continue;
    sorted.forEach((point, i) => {
      const value = at(column, point);
      const end = value === at(column, low) || value === at(column, high);
      const side = end ? columns.length : (at(column, sorted[i + 1] as number) - at(column, sorted[i - 1] as number)) / range;
      sums.set(point, (sums.get(point) as number) + side);
    });
  }
  return front.map((point) => Math.min(1, (sums.get(point) as number) / columns.length));
}

function at(column: Column, point: number): number {
  return column[point] as number;
}
