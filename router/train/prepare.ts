/** Rows -> their features, read as the classifier reads a prompt. */
import { Reader } from '../classify/features.ts';
import { SHAPES } from '../classify/shape.ts';
import { isForm, WORD_ROWS } from '../classify/words.ts';
import type { Row } from './data.ts';
import type { Sparse } from './sparse.ts';

/** Words in fewer prompts than this teach only those prompts' answers. */
const FEWEST_PROMPTS = 3;
/** Steps of importance: one unit of the square root of a word's inverse document frequency. */
const STEPS = 64;
/** A prompt's form says as much as this many units. */
const FORM_UNITS = 6;

export interface Prepared {
  /** Prompts x shapes. */
  readonly shape: Float32Array;
  readonly sparse: Sparse;
}

export function prepare(prompts: readonly Row[]): Prepared {
  const reader = new Reader();
  const shape = new Float32Array(prompts.length * SHAPES.length);
  const offsets = new Int32Array(prompts.length + 1);
  const lists: Uint16Array[] = [];
  const halvesLists: Uint8Array[] = [];
  const frequency = new Int32Array(WORD_ROWS);
  for (const [index, { prompt }] of prompts.entries()) {
    reader.read(prompt);
    shape.set(reader.shape, index * SHAPES.length);
    const list = reader.rows.list.slice(0, reader.rows.count);
    for (const row of list) frequency[row] = (frequency[row] as number) + 1;
    lists.push(list);
    halvesLists.push(reader.rows.halves.slice(0, reader.rows.count));
    offsets[index + 1] = (offsets[index] as number) + list.length;
  }
  const rows = new Uint16Array(offsets[prompts.length] as number);
  const halves = new Uint8Array(rows.length);
  for (const [index, list] of lists.entries()) {
    rows.set(list, offsets[index] as number);
    halves.set(halvesLists[index] as Uint8Array, offsets[index] as number);
  }
  const importance = importanceOf(frequency, prompts.length);
  return { shape, sparse: { offsets, rows, halves, importance, values: valuesOf(offsets, rows, halves, importance) } };
}

function importanceOf(frequency: Int32Array, prompts: number): Uint16Array {
  return Uint16Array.from(frequency, (count, row) => {
    // Halves go up to 2, so a full word's value is twice its importance.
    if (isForm(row)) return (FORM_UNITS * STEPS) / 2;
    return count < FEWEST_PROMPTS ? 0 : Math.round((Math.sqrt(Math.log(1 + prompts / count)) * STEPS) / 2);
  });
}

function valuesOf(offsets: Int32Array, rows: Uint16Array, halves: Uint8Array, importance: Uint16Array): Float32Array {
  const values = new Float32Array(rows.length);
  for (let prompt = 0; prompt + 1 < offsets.length; prompt++) {
    const from = offsets[prompt] as number;
    const to = offsets[prompt + 1] as number;
    let squares = 0;
    for (let at = from; at < to; at++) {
      const value = (importance[rows[at] as number] as number) * (halves[at] as number);
      values[at] = value;
      squares += value * value;
    }
    const norm = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    for (let at = from; at < to; at++) values[at] = (values[at] as number) * norm;
  }
  return values;
}
