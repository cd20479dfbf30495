/**
 * Gradient boosted regression trees on few dense features, by histograms. Squared loss, one row weight.
 *
 * Friedman, "Greedy function approximation: a gradient boosting machine", 2001; splits as in second order boosting with
 * a unit Hessian per weight: gain = GL^2/(HL+lambda) + GR^2/(HR+lambda) - G^2/(H+lambda).
 */
import type { Forest } from '../classify/trees.ts';
import { seeded, shuffle } from './random.ts';

export const BINS = 64;

export interface BoostOptions {
  readonly trees: number;
  readonly depth: number;
  readonly rate: number;
  /** Least weight of a leaf. */
  readonly leaf: number;
  readonly lambda: number;
  /** Share of the rows and of the features that a tree sees. */
  readonly rows: number;
  readonly columns: number;
  readonly seed: number;
}

/** Per feature up to `BINS` - 1 edges, ascending: quantiles of what occurs. */
export function edgesOf(values: Float32Array, rows: number, columns: number): Float32Array[] {
  return Array.from({ length: columns }, (_, column) => {
    const sorted = Float32Array.from({ length: rows }, (_row, row) => values[row * columns + column] as number).sort();
    const edges: number[] = [];
    for (let bin = 1; bin < BINS; bin++) {
      const at = Math.floor((bin * rows) / BINS);
      const low = sorted[Math.max(0, at - 1)] as number;
      const high = sorted[at] as number;
      const edge = Math.fround((low + high) / 2);
      if (high > low && edge >= low && edge < high && (edges.length === 0 || edge > (edges[edges.length - 1] as number)))
        edges.push(edge);
    }
    // Rare values lie between quantiles: the ends get an edge of their own.
    if (edges.length === 0 && (sorted[rows - 1] as number) > (sorted[0] as number)) {
      const lowest = sorted[0] as number;
      const most = sorted[rows - 1] as number;
      const common = sorted[rows >> 1] as number;
      edges.push(common === most ? Math.fround((common + lowest) / 2) : common);
    }
    return Float32Array.from(edges);
  });
}

export function binsOf(values: Float32Array, rows: number, edges: readonly Float32Array[]): Uint8Array[] {
  const columns = edges.length;
  return edges.map((list, column) => {
    const bins = new Uint8Array(rows);
    for (let row = 0; row < rows; row++) {
      const value = values[row * columns + column] as number;
      let low = 0;
      let high = list.length;
      while (low < high) {
        const mid = (low + high) >> 1;
        if (value > (list[mid] as number)) low = mid + 1;
        else high = mid;
      }
      bins[row] = low;
    }
    return bins;
  });
}

export function boost(
  values: Float32Array,
  rows: number,
  columns: number,
  target: Float64Array,
  weight: Float64Array,
  options: BoostOptions,
): Forest {
  const edges = edgesOf(values, rows, columns);
  const bins = binsOf(values, rows, edges);
  const random = seeded(options.seed);
  const inner = 2 ** options.depth - 1;
  const leaves = 2 ** options.depth;
  const feature = new Uint16Array(options.trees * inner);
  const threshold = new Float32Array(options.trees * inner).fill(3e38);
  const leaf = new Float32Array(options.trees * leaves);
  let total = 0;
  let mass = 0;
  for (let row = 0; row < rows; row++) {
    total += (target[row] as number) * (weight[row] as number);
    mass += weight[row] as number;
  }
  const base = mass > 0 ? total / mass : 0;
  const predicted = new Float64Array(rows).fill(base);
  const sample = new Int32Array(rows);
  const usable = Int32Array.from(edges.flatMap((list, column) => (list.length > 0 ? [column] : [])));
  const node = new Int32Array(rows);
  const residual = new Float64Array(rows);
  const histogram = new Float64Array(leaves * BINS * 2);
  const picked = Math.max(1, Math.floor(usable.length * options.columns));
  for (let tree = 0; tree < options.trees; tree++) {
    const size = draw(sample, options.rows, random);
    const chosen = picked < usable.length ? shuffle(usable, random).slice(0, picked) : usable;
    for (let row = 0; row < rows; row++)
      residual[row] = ((target[row] as number) - (predicted[row] as number)) * (weight[row] as number);
    node.fill(0);
    for (let level = 0; level < options.depth; level++) {
      const count = 2 ** level;
      const first = count - 1;
      const best = new Float64Array(count).fill(1e-9);
      const bestFeature = new Int32Array(count).fill(-1);
      const bestBin = new Int32Array(count);
      const gradient = new Float64Array(count);
      const hessian = new Float64Array(count);
      for (let index = 0; index < size; index++) {
        const row = sample[index] as number;
        const at = (node[row] as number) - first;
        gradient[at] = (gradient[at] as number) + (residual[row] as number);
        hessian[at] = (hessian[at] as number) + (weight[row] as number);
      }
      for (const column of chosen) {
        const own = bins[column] as Uint8Array;
        histogram.fill(0, 0, count * BINS * 2);
        for (let index = 0; index < size; index++) {
          const row = sample[index] as number;
          const at = (((node[row] as number) - first) * BINS + (own[row] as number)) * 2;
          histogram[at] = (histogram[at] as number) + (residual[row] as number);
          histogram[at + 1] = (histogram[at + 1] as number) + (weight[row] as number);
        }
        const splits = (edges[column] as Float32Array).length;
        for (let at = 0; at < count; at++) {
          const g = gradient[at] as number;
          const h = hessian[at] as number;
          if (h < 2 * options.leaf) continue;
          const parent = (g * g) / (h + options.lambda);
          let left = 0;
          let leftMass = 0;
          for (let bin = 0; bin < splits; bin++) {
            left += histogram[(at * BINS + bin) * 2] as number;
            leftMass += histogram[(at * BINS + bin) * 2 + 1] as number;
            const rightMass = h - leftMass;
            if (leftMass < options.leaf || rightMass < options.leaf) continue;
            const right = g - left;
            const gain = (left * left) / (leftMass + options.lambda) + (right * right) / (rightMass + options.lambda) - parent;
            if (gain > (best[at] as number)) {
              best[at] = gain;
              bestFeature[at] = column;
              bestBin[at] = bin;
            }
          }
        }
      }
      for (let at = 0; at < count; at++) {
        const column = bestFeature[at] as number;
        if (column < 0) continue;
        feature[tree * inner + first + at] = column;
        threshold[tree * inner + first + at] = (edges[column] as Float32Array)[bestBin[at] as number] as number;
      }
      for (let row = 0; row < rows; row++) {
        const at = (node[row] as number) - first;
        const column = bestFeature[at] as number;
        const right = column >= 0 && ((bins[column] as Uint8Array)[row] as number) > (bestBin[at] as number);
        node[row] = 2 * (node[row] as number) + (right ? 2 : 1);
      }
    }
    const g = new Float64Array(leaves);
    const h = new Float64Array(leaves);
    for (let index = 0; index < size; index++) {
      const row = sample[index] as number;
      const at = (node[row] as number) - inner;
      g[at] = (g[at] as number) + (residual[row] as number);
      h[at] = (h[at] as number) + (weight[row] as number);
    }
    for (let at = 0; at < leaves; at++)
      leaf[tree * leaves + at] = (options.rate * (g[at] as number)) / ((h[at] as number) + options.lambda);
    for (let row = 0; row < rows; row++)
      predicted[row] = (predicted[row] as number) + (leaf[tree * leaves + (node[row] as number) - inner] as number);
  }
  return { depth: options.depth, trees: options.trees, feature, threshold, leaf, base };
}

/** Fills `sample` with rows in their order, each with the chance `share`, and says how many. */
function draw(sample: Int32Array, share: number, random: () => number): number {
  let size = 0;
  for (let row = 0; row < sample.length; row++) if (share >= 1 || random() < share) sample[size++] = row;
  return size;
}
