/** Which of a model's outputs is taken for what. Pure. */
import { unusable } from '../gguf.ts';

export type Outputs = readonly (
  | { readonly name: string; readonly isTensor: true; readonly type: string; readonly shape: readonly (number | string)[] }
  | { readonly name: string; readonly isTensor: false }
)[];

/** Given by models that pool by themselves. */
export const SENTENCES = 'sentence_embedding';
const CLASSES = 'logits';

/** @throws Fault ENGINE_FAILED where no output is a vector for each text or token */
export function vectorsIn(path: string, outputs: Outputs): string {
  const found = named(outputs, SENTENCES, 2) ?? outputs.find((output) => isFloats(output, 3))?.name;
  if (found !== undefined) return found;
  const hint = named(outputs, CLASSES, 2) ? '; one that tells classes serves with tasks: [classify] in a catalogue of yours' : '';
  throw unusable(path, `its outputs are ${all(outputs)}, none of which is a vector for each token or text, in 32 bits${hint}`);
}

/** @throws Fault ENGINE_FAILED where no output has a number for each class */
export function classesIn(path: string, outputs: Outputs): string {
  const found = named(outputs, CLASSES, 2);
  if (found !== undefined) return found;
  throw unusable(
    path,
    `its outputs are ${all(outputs)}; a model that tells classes has ${CLASSES} with a number for each, in 32 bits`,
  );
}

/** Names of a file that anyone may have made. */
export const shown = (names: readonly string[]) => JSON.stringify(names.slice(0, 8).map((name) => name.slice(0, 64)));

const all = (outputs: Outputs) => shown(outputs.map(({ name }) => name));

function named(outputs: Outputs, name: string, dimensions: number): string | undefined {
  return outputs.find((output) => output.name === name && isFloats(output, dimensions))?.name;
}

function isFloats(output: Outputs[number], dimensions: number): boolean {
  return output.isTensor && output.type === 'float32' && output.shape.length === dimensions;
}
