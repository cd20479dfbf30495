/**
 * What training leaves, and its form as a file. Pure.
 *
 * The file: "IMCW", the form's version, the length of a JSON header (both 32 bits, little endian), the header, then the
 * arrays one after another, each from a multiple of 8 bytes on. The header is the same object with each array replaced
 * by where it stands, so that the form needs no change when the weights get another part.
 */
import { invalid } from '../../proto/contract/faults.ts';
import type { Calibration } from './calibration.ts';
import type { Heads } from './heads.ts';
import type { SubjectMeans } from './mixture.ts';
import type { Forest } from './trees.ts';

export const WEIGHTS_VERSION = 1;
const MAGIC = 0x57434d49;
const PREFIX = 12;
const ALIGN = 8;

/** One model of the training data. */
export interface ModelWeights {
  readonly name: string;
  /** Log-odds of a right answer per factor; see factors.ts. */
  readonly quality: Float32Array;
  /** US dollars: a constant, per UTF-16 unit of the prompt, per expected output token; empty where unknown. */
  readonly cost: Float32Array;
}

export interface Weights {
  readonly heads: Heads;
  readonly means: SubjectMeans;
  /** Gain of a strong model over a weak one, less a share of what the heads expect; see rank.ts. */
  readonly rank: Forest;
  /** Score of a small and of a strong model, 0 to 1. */
  readonly small: Forest;
  readonly strong: Forest;
  /** log2(1 + output tokens). */
  readonly tokens: Forest;
  /** Per tier, weakest first, on the probability that a small model suffices (`cloud`: a strong one). */
  readonly tiers: readonly Calibration[];
  /** Per factor. */
  readonly factorMean: Float32Array;
  readonly factorScale: Float32Array;
  readonly models: readonly ModelWeights[];
}

type Part = Int8Array | Uint8Array | Uint16Array | Float32Array;
const KINDS = { i8: Int8Array, u8: Uint8Array, u16: Uint16Array, f32: Float32Array } as const;
type Kind = keyof typeof KINDS;

interface Place {
  readonly $: Kind;
  readonly at: number;
  readonly length: number;
}

export function encodeWeights(weights: Weights): Uint8Array {
  const parts: Part[] = [];
  let size = 0;
  const header = JSON.stringify(weights, (_key, value: unknown) => {
    if (!ArrayBuffer.isView(value)) return value;
    const part = value as Part;
    const place: Place = { $: kindOf(part), at: size, length: part.length };
    parts.push(part);
    size += aligned(part.byteLength);
    return place;
  });
  const text = new TextEncoder().encode(header);
  const start = aligned(PREFIX + text.length);
  const bytes = new Uint8Array(start + size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, WEIGHTS_VERSION, true);
  view.setUint32(8, text.length, true);
  bytes.set(text, PREFIX);
  let at = start;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += aligned(part.byteLength);
  }
  return bytes;
}

/** Throws a fault when it is no file of this form and version, or ends early. */
export function decodeWeights(file: Uint8Array): Weights {
  // The arrays are views: they need the alignment that a slice of a larger buffer may lack.
  const bytes = file.byteOffset % ALIGN === 0 ? file : file.slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < PREFIX || view.getUint32(0, true) !== MAGIC) throw unusable('is no file of classifier weights');
  const version = view.getUint32(4, true);
  if (version !== WEIGHTS_VERSION) throw unusable(`has form ${version}, this program reads ${WEIGHTS_VERSION}`);
  const length = view.getUint32(8, true);
  const start = aligned(PREFIX + length);
  if (start > bytes.length) throw unusable(`ends after ${bytes.length} bytes, within its header`);
  const header = new TextDecoder().decode(bytes.subarray(PREFIX, PREFIX + length));
  return JSON.parse(header, (_key, value: unknown) => {
    if (!isPlace(value)) return value;
    const from = bytes.byteOffset + start + value.at;
    const end = start + value.at + value.length * KINDS[value.$].BYTES_PER_ELEMENT;
    if (end > bytes.length) throw unusable(`ends after ${bytes.length} bytes of at least ${end}`);
    return new KINDS[value.$](bytes.buffer as ArrayBuffer, from, value.length);
  }) as Weights;
}

function isPlace(value: unknown): value is Place {
  return typeof value === 'object' && value !== null && '$' in value && (value as Place).$ in KINDS;
}

function kindOf(part: Part): Kind {
  const kind = (Object.keys(KINDS) as Kind[]).find((name) => part instanceof KINDS[name]);
  if (!kind) throw new TypeError('no such array in the form of the weights');
  return kind;
}

const aligned = (length: number): number => Math.ceil(length / ALIGN) * ALIGN;

function unusable(problem: string): Error {
  return invalid([{ field: 'weights', description: problem }]);
}
