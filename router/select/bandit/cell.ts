/**
 * What like answers have taught, as sums that add: two cells become one by adding their figures, in any order. Pure.
 *
 * A cell remembers twice. The long memory fades with time alone (see time-frame.ts). The recent one also fades with each
 * reward that comes, by half in RECENT_HALF_COUNT of them: time does not know how many rewards a day has, and where
 * thousands came before a model changed, thousands more would be needed to outweigh them.
 */

const RECENT_HALF_COUNT = 32;
/** What is left of a weight after removals and rounding, and is nothing. */
const NOTHING = 1e-9;

/** Count, sum and sum of squares of the long memory, count and sum of the recent one. */
export type CellFigures = [count: number, sum: number, squares: number, recentCount: number, recentSum: number];

export class Cell {
  /** Faded weight of the rewards, in units of the frame's reference time. */
  count = 0;
  sum = 0;
  squares = 0;
  recentCount = 0;
  recentSum = 0;
  /** Weight of all that ever came, unfaded; only differences matter. */
  #taught = 0;

  static of([count, sum, squares, recentCount, recentSum]: Readonly<CellFigures>): Cell {
    const cell = new Cell();
    Object.assign(cell, { count, sum, squares, recentCount, recentSum });
    return cell;
  }

  /** @param weight of the reward @param faded the same in units of the frame @returns a mark to remove it by */
  learn(residual: number, weight: number, faded: number): number {
    const kept = 2 ** (-weight / RECENT_HALF_COUNT);
    this.recentCount = this.recentCount * kept + faded;
    this.recentSum = this.recentSum * kept + faded * residual;
    this.#taught += weight;
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
    if (scale < 0) this.#settle();
  }

  /** By a power of two, which rounds nothing. */
  scale(factor: number): void {
    this.count *= factor;
    this.sum *= factor;
    this.squares *= factor;
    this.recentCount *= factor;
    this.recentSum *= factor;
  }

  figures(): CellFigures {
    // Plus 0 turns -0, which JSON does not carry, into 0.
    return [this.count + 0, this.sum + 0, this.squares + 0, this.recentCount + 0, this.recentSum + 0];
  }

  #settle(): void {
    if (this.recentCount < NOTHING) this.recentCount = this.recentSum = 0;
    if (this.count < NOTHING) this.count = this.sum = this.squares = 0;
    this.squares = Math.max(0, this.squares);
  }
}
