/**
 * What like answers have taught, as sums that add: two cells become one by adding their figures, in any order. Pure.
 *
 * A cell remembers twice. The long memory fades with time alone (see time-frame.ts). The recent one also fades with each
 * reward that comes, by half in RECENT_HALF_COUNT of them: time does not know how many rewards a day has, and where
 * thousands came before a model changed, thousands more would be needed to outweigh them.
 *
 * Where several routers learn, each in cells of its own, the long memories add. The recent ones fade with the rewards of
 * all: each cell keeps how much the others had counted when it learnt last, so what came since is known wherever they are
 * put together. Else a router that is idle, or one that ended long ago, would be as recent as one that learns now.
 */

const RECENT_HALF_COUNT = 32;
/** What is left of a weight after removals and rounding, and is nothing. */
const NOTHING = 1e-9;

/** Count, sum and sum of squares of the long memory, count and sum of the recent one; what others had counted, if anything. */
export type CellFigures = [
  count: number,
  sum: number,
  squares: number,
  recentCount: number,
  recentSum: number,
  elsewhere?: number,
];

/** One of the cells that are put together. */
export interface CellPart {
  readonly cell: Cell;
  /** Of its units, a power of two. */
  readonly scale: number;
}

export class Cell {
  /** Faded weight of the rewards, in units of the frame's reference time. */
  count = 0;
  sum = 0;
  squares = 0;
  recentCount = 0;
  recentSum = 0;
  /** What others had counted of the same when this one learnt last. */
  elsewhere = 0;
  /** Weight of all that ever came, unfaded; only differences matter. */
  #taught = 0;

  static of([count, sum, squares, recentCount, recentSum, elsewhere = 0]: Readonly<CellFigures>): Cell {
    const cell = new Cell();
    Object.assign(cell, { count, sum, squares, recentCount, recentSum, elsewhere });
    return cell;
  }

  /**
   * @param weight of the reward @param faded the same in units of the frame
   * @param elsewhere what others have counted by now @param worth of the frame's unit now
   * @returns a mark to remove it by
   */
  learn(residual: number, weight: number, faded: number, elsewhere = 0, worth = 0): number {
    const passed = weight + worth * Math.max(0, elsewhere - this.elsewhere);
    this.elsewhere = elsewhere;
    const kept = 2 ** (-passed / RECENT_HALF_COUNT);
    this.recentCount = this.recentCount * kept + faded;
    this.recentSum = this.recentSum * kept + faded * residual;
    this.#taught += passed;
    this.count += faded;
    this.sum += faded * residual;
    this.squares += faded * residual * residual;
    return this.#taught;
  }

  /** As if what was learnt under this mark had never come, but for how much it made others fade from the recent. */
  unlearn(residual: number, faded: number, mark: number): void {
    const left = faded * 2 ** ((mark - this.#taught) / RECENT_HALF_COUNT);
    this.recentCount -= left;
    this.recentSum -= left * residual;
    this.count -= faded;
    this.sum -= faded * residual;
    this.squares -= faded * residual * residual;
    this.#settle();
  }

  add(other: Cell, scale = 1): void {
    this.count += scale * other.count;
    this.sum += scale * other.sum;
    this.squares += scale * other.squares;
    this.recentCount += scale * other.recentCount;
    this.recentSum += scale * other.recentSum;
    this.elsewhere += scale * other.elsewhere;
    if (scale < 0) this.#settle();
  }

  /**
   * Becomes what these are together.
   * @param worth of the frame's unit now @param beside what was counted of the same in none of them
   */
  become(parts: readonly CellPart[], worth: number, beside = 0): void {
    this.count = this.sum = this.squares = this.recentCount = this.recentSum = 0;
    this.elsewhere = beside;
    for (const { cell, scale } of parts) {
      this.count += scale * cell.count;
      this.sum += scale * cell.sum;
      this.squares += scale * cell.squares;
    }
    for (const { cell, scale } of parts) {
      const since = this.count + beside - scale * (cell.count + cell.elsewhere);
      const kept = scale * 2 ** ((-worth * Math.max(0, since)) / RECENT_HALF_COUNT);
      this.recentCount += kept * cell.recentCount;
      this.recentSum += kept * cell.recentSum;
    }
  }

  /** By a power of two, which rounds nothing. */
  scale(factor: number): void {
    this.count *= factor;
    this.sum *= factor;
    this.squares *= factor;
    this.recentCount *= factor;
    this.recentSum *= factor;
    this.elsewhere *= factor;
  }

  figures(): CellFigures {
    // Plus 0 turns -0, which JSON does not carry, into 0.
    const { count, sum, squares, recentCount, recentSum, elsewhere } = this;
    const own: CellFigures = [count + 0, sum + 0, squares + 0, recentCount + 0, recentSum + 0];
    if (elsewhere > 0) own.push(elsewhere);
    return own;
  }

  #settle(): void {
    if (this.recentCount < NOTHING) this.recentCount = this.recentSum = 0;
    if (this.count < NOTHING) this.count = this.sum = this.squares = 0;
    this.squares = Math.max(0, this.squares);
  }
}
