/** The classifier with the weights that ship, read from their file once. */
import { readFileSync } from 'node:fs';
import { LexicalClassifier } from './classify/classifier.ts';
import { decodeWeights } from './classify/weights.ts';

const SHIPPED = new URL('./classify/weights.bin', import.meta.url);

/** Throws when the file is missing or is none of weights. @param path another file of weights */
export function openClassifier(path?: string): LexicalClassifier {
  return new LexicalClassifier(decodeWeights(readFileSync(path ?? SHIPPED)));
}
