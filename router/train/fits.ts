/** Small fits: logistic and linear regression with a ridge, and a step function that never falls. */
import type { Calibration } from '../classify/calibration.ts';

const NEWTON_STEPS = 8;

/**
 * Logistic regression by Newton's method.
 * @param values rows x columns @param target 0 to 1 @param ridge on all but the intercept
 * @returns columns + 1 coefficients, the intercept last
 */
export function logistic(
  values: Float32Array,
  rows: Int32Array,
  columns: number,
  target: Float64Array,
  ridge: number,
): Float64Array {
  const size = columns + 1;
  const beta = new Float64Array(size);
  for (let step = 0; step < NEWTON_STEPS; step++) {
    const gradient = new Float64Array(size);
    const hessian = new Float64Array(size * size);
    const x = new Float64Array(size);
    for (const [index, row] of rows.entries()) {
      let sum = 0;
      for (let at = 0; at < size; at++) {
        x[at] = at < columns ? (values[row * columns + at] as number) : 1;
        sum += (x[at] as number) * (beta[at] as number);
      }
      const p = 1 / (1 + Math.exp(-sum));
      addOuter(hessian, gradient, x, Math.max(1e-6, p * (1 - p)), (target[index] as number) - p);
    }
    for (let at = 0; at < size; at++) {
      const own = at < columns ? ridge : 1e-6;
      gradient[at] = (gradient[at] as number) - own * (beta[at] as number);
      hessian[at * size + at] = (hessian[at * size + at] as number) + own;
    }
    const change = solve(hessian, gradient, size);
    for (let at = 0; at < size; at++) beta[at] = (beta[at] as number) + (change[at] as number);
  }
  return beta;
}

/** Least squares. @param values rows x columns @returns columns coefficients */
export function linear(values: Float64Array, columns: number, target: Float64Array, ridge: number): Float64Array {
  const gradient = new Float64Array(columns);
  const hessian = new Float64Array(columns * columns);
  for (let row = 0; row < target.length; row++) {
    const x = values.subarray(row * columns, (row + 1) * columns);
    addOuter(hessian, gradient, x, 1, target[row] as number);
  }
  for (let at = 0; at < columns; at++) hessian[at * columns + at] = (hessian[at * columns + at] as number) + ridge;
  return solve(hessian, gradient, columns);
}

function addOuter(hessian: Float64Array, gradient: Float64Array, x: Float64Array, weight: number, error: number): void {
  const size = x.length;
  for (let a = 0; a < size; a++) {
    const xa = x[a] as number;
    gradient[a] = (gradient[a] as number) + error * xa;
    for (let b = 0; b < size; b++) hessian[a * size + b] = (hessian[a * size + b] as number) + weight * xa * (x[b] as number);
  }
}

/** Gauss with the largest pivot; both arguments are used up. */
function solve(matrix: Float64Array, right: Float64Array, size: number): Float64Array {
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++)
      if (Math.abs(matrix[row * size + column] as number) > Math.abs(matrix[pivot * size + column] as number)) pivot = row;
    for (let at = 0; at < size; at++) {
      const kept = matrix[column * size + at] as number;
      matrix[column * size + at] = matrix[pivot * size + at] as number;
      matrix[pivot * size + at] = kept;
    }
    const kept = right[column] as number;
    right[column] = right[pivot] as number;
    right[pivot] = kept;
    const head = matrix[column * size + column] as number;
    if (head === 0) continue;
    for (let row = column + 1; row < size; row++) {
      const share = (matrix[row * size + column] as number) / head;
      for (let at = column; at < size; at++)
        matrix[row * size + at] = (matrix[row * size + at] as number) - share * (matrix[column * size + at] as number);
      right[row] = (right[row] as number) - share * (right[column] as number);
    }
  }
  const result = new Float64Array(size);
  for (let row = size - 1; row >= 0; row--) {
    let sum = right[row] as number;
    for (let at = row + 1; at < size; at++) sum -= (matrix[row * size + at] as number) * (result[at] as number);
    const head = matrix[row * size + row] as number;
    result[row] = head === 0 ? 0 : sum / head;
  }
  return result;
}

/** Steps are at least this many rows wide, so that their ends are not 0 or 1 by chance. */
const LEAST_STEP = 50;

/** Isotonic regression by pooling adjacent violators, on steps of many rows; a line joins their middles. */
export function isotonic(predicted: Float64Array, true_: Float64Array): Calibration {
  const order = Int32Array.from(predicted, (_, index) => index).sort(
    (a, b) => (predicted[a] as number) - (predicted[b] as number) || a - b,
  );
  const steps: { at: number; is: number; rows: number }[] = [];
  for (let from = 0; from < order.length; from += LEAST_STEP) {
    const to = from + 2 * LEAST_STEP > order.length ? order.length : from + LEAST_STEP;
    let at = 0;
    let is = 0;
    for (const row of order.subarray(from, to)) {
      at += predicted[row] as number;
      is += true_[row] as number;
    }
    steps.push({ at, is, rows: to - from });
    pool(steps);
    if (to === order.length) break;
  }
  if (steps.length === 0) return { at: Float32Array.of(0), is: Float32Array.of(0.5) };
  return {
    at: Float32Array.from(steps, ({ at, rows }) => at / rows),
    is: Float32Array.from(steps, ({ is, rows }) => is / rows),
  };
}

function pool(steps: { at: number; is: number; rows: number }[]): void {
  for (;;) {
    const last = steps.at(-1);
    const before = steps.at(-2);
    if (!last || !before || before.is / before.rows < last.is / last.rows) return;
    steps.splice(-2, 2, { at: before.at + last.at, is: before.is + last.is, rows: before.rows + last.rows });
  }
}
