/**
 * Linear least squares where every weight has the prior N(0, scale^2) and the noise variance 1, with the prediction of
 * each row by the fit without it in closed form: residual / (1 - leverage). Pure.
 *
 * Rasmussen and Williams, "Gaussian processes for machine learning", 2006, sections 2.1 and 5.4.2.
 */

/** Rows of features, one after another, with what stays the same whatever the scales are. */
export interface Design {
  readonly rows: number;
  readonly columns: number;
  /** Less their means. */
  readonly values: Float64Array;
  readonly means: Float64Array;
  /** Columns x columns: sums of products. */
  readonly products: Float64Array;
}

export interface Fit {
  /** Per target and column, with the scales already in. */
  readonly weights: readonly Float64Array[];
  /** Per target: its mean, which is no part of the prior. */
  readonly levels: readonly number[];
  /** Per target and row, predicted by the fit without that row. */
  readonly leftOut: readonly Float64Array[];
  /** Mean of the squares of what those miss. */
  readonly error: number;
}

export function designOf(rows: readonly Float64Array[]): Design {
  const columns = rows[0]?.length ?? 0;
  const means = new Float64Array(columns);
  for (const row of rows) for (let at = 0; at < columns; at++) means[at]! += (row[at] as number) / rows.length;
  const values = new Float64Array(rows.length * columns);
  for (const [index, row] of rows.entries())
    for (let at = 0; at < columns; at++) values[index * columns + at] = (row[at] as number) - (means[at] as number);
  const products = new Float64Array(columns * columns);
  for (let row = 0; row < rows.length; row++) {
    const from = row * columns;
    for (let i = 0; i < columns; i++) {
      const value = values[from + i] as number;
      if (value !== 0) for (let j = 0; j <= i; j++) products[i * columns + j]! += value * (values[from + j] as number);
    }
  }
  return { rows: rows.length, columns, values, means, products };
}

/** @param scales per column; 0 leaves it out @param targets each as long as the design has rows */
export function ridge(design: Design, scales: Float64Array, targets: readonly Float64Array[]): Fit {
  const { rows, columns, values, products } = design;
  const factor = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++) {
    for (let j = 0; j <= i; j++) {
      const product = (products[i * columns + j] as number) * (scales[i] as number) * (scales[j] as number);
      factor[i * columns + j] = product + (i === j ? 1 : 0);
    }
  }
  decompose(factor, columns);
  const levels = targets.map((target) => target.reduce((total, value) => total + value, 0) / Math.max(1, rows));
  const weights = targets.map((target, index) => {
    const right = new Float64Array(columns);
    for (let row = 0; row < rows; row++) {
      const miss = (target[row] as number) - (levels[index] as number);
      for (let at = 0; at < columns; at++) right[at]! += miss * (values[row * columns + at] as number);
    }
    for (let at = 0; at < columns; at++) right[at]! *= scales[at] as number;
    substitute(factor, columns, right);
    substituteBack(factor, columns, right);
    return right.map((weight, at) => weight * (scales[at] as number));
  });
  const leverage = leveragesOf(design, scales, factor);
  const leftOut = targets.map((target, index) =>
    Float64Array.from(target, (value, row) => {
      const fitted = (levels[index] as number) + dot(weights[index] as Float64Array, values, row * columns);
      return value - (value - fitted) / (1 - (leverage[row] as number));
    }),
  );
  return { weights, levels, leftOut, error: errorOf(targets, leftOut) };
}

/** Fits of one design and as many targets, averaged. @param weighed with shares that add up to 1 */
export function mixed(weighed: readonly { readonly fit: Fit; readonly share: number }[]): Fit {
  const [first] = weighed;
  const blend = (pick: (fit: Fit) => Float64Array): Float64Array => {
    const sum = new Float64Array(first ? pick(first.fit).length : 0);
    for (const { fit, share } of weighed) for (const [at, value] of pick(fit).entries()) sum[at]! += share * value;
    return sum;
  };
  const targets = [...(first?.fit.levels.keys() ?? [])];
  return {
    weights: targets.map((target) => blend(({ weights }) => weights[target] as Float64Array)),
    levels: targets.map((target) => weighed.reduce((sum, { fit, share }) => sum + share * (fit.levels[target] as number), 0)),
    leftOut: targets.map((target) => blend(({ leftOut }) => leftOut[target] as Float64Array)),
    error: weighed.reduce((sum, { fit, share }) => sum + share * fit.error, 0),
  };
}

/** What a fit says of a row of features that it may not have seen. */
export function predicted(design: Design, fit: Fit, target: number, features: Float64Array): number {
  const weights = fit.weights[target] as Float64Array;
  let value = fit.levels[target] as number;
  for (let at = 0; at < weights.length; at++)
    value += (weights[at] as number) * ((features[at] as number) - (design.means[at] as number));
  return value;
}

function leveragesOf({ rows, columns, values }: Design, scales: Float64Array, factor: Float64Array): Float64Array {
  const scaled = new Float64Array(columns);
  return Float64Array.from({ length: rows }, (_, row) => {
    for (let at = 0; at < columns; at++) scaled[at] = (values[row * columns + at] as number) * (scales[at] as number);
    substitute(factor, columns, scaled);
    // The mean is fitted too, with 1 / rows of leverage; a lone row has no other to be predicted from.
    const leverage = 1 / rows + scaled.reduce((total, value) => total + value * value, 0);
    return Math.min(leverage, 0.999);
  });
}

function errorOf(targets: readonly Float64Array[], leftOut: readonly Float64Array[]): number {
  let total = 0;
  let count = 0;
  for (const [index, target] of targets.entries()) {
    for (let row = 0; row < target.length; row++) {
      total += ((target[row] as number) - (leftOut[index]?.[row] as number)) ** 2;
      count++;
    }
  }
  return total / Math.max(1, count);
}

/** Cholesky's decomposition, in the place of the lower triangle. */
function decompose(matrix: Float64Array, size: number): void {
  for (let j = 0; j < size; j++) {
    for (let i = j; i < size; i++) {
      let value = matrix[i * size + j] as number;
      for (let k = 0; k < j; k++) value -= (matrix[i * size + k] as number) * (matrix[j * size + k] as number);
      matrix[i * size + j] = i === j ? Math.sqrt(value) : value / (matrix[j * size + j] as number);
    }
  }
}

function substitute(factor: Float64Array, size: number, vector: Float64Array): void {
  for (let i = 0; i < size; i++) {
    let value = vector[i] as number;
    for (let k = 0; k < i; k++) value -= (factor[i * size + k] as number) * (vector[k] as number);
    vector[i] = value / (factor[i * size + i] as number);
  }
}

function substituteBack(factor: Float64Array, size: number, vector: Float64Array): void {
  for (let i = size - 1; i >= 0; i--) {
    let value = vector[i] as number;
    for (let k = i + 1; k < size; k++) value -= (factor[k * size + i] as number) * (vector[k] as number);
    vector[i] = value / (factor[i * size + i] as number);
  }
}

function dot(weights: Float64Array, values: Float64Array, from: number): number {
  let total = 0;
  for (let at = 0; at < weights.length; at++) total += (weights[at] as number) * (values[from + at] as number);
  return total;
}
