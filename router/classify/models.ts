/** Names by which a model of the training data is also known: those of the catalogue. Pure data. */

/** Catalogue name -> the name in the training data whose weights are the same or the next of kin. */
export const ALIASES: Readonly<Record<string, string>> = {
  'mistral-7b-instruct': 'mistral-7b-instruct-v0.3',
  'llama-3.1-8b-instruct': 'llama-3.1-8b-instruct',
  'qwen2.5-7b-instruct': 'qwen2.5-7b-instruct',
  'gemma-2-9b': 'gemma-2-9b-it',
  'phi-3-mini': 'Phi-3-mini-4k-instruct',
};

/** Names differ in their capitals from source to source. */
export function canonical(name: string): string {
  return (ALIASES[name] ?? name).toLowerCase();
}
