/** ONNX models of a few words, made to be looked into. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FLOAT, Graph, INT64 } from './graph.ts';
import { bertTokenizer } from './minilm.ts';

export const WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'red', 'green', 'blue', 'beyond'];
/** The table has no row for the last word. */
export const ROWS = WORDS.length - 1;

export interface SmallModel {
  /** @param rows batch x tokens x ROWS: 1 at the place of the token, else 0 */
  readonly build?: (graph: Graph, ids: string, rows: string) => void;
  readonly inputs?: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Looks each token up, and does nothing else unless it is told to.
 * @returns the path of its weights
 */
export function writeSmall(folder: string, model: SmallModel = {}): string {
  const { build = perToken, inputs = ['input_ids', 'attention_mask'], files = {} } = model;
  const graph = new Graph();
  const [ids = ''] = inputs.map((input) => graph.input(input, INT64, ['batch', 'tokens']));
  const table = Float32Array.from({ length: ROWS * ROWS }, (_, i) => (i % (ROWS + 1) === 0 ? 1 : 0));
  build(graph, ids, graph.node('Gather', [graph.floats(table, [ROWS, ROWS]), ids]));
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  const all = { 'tokenizer.json': JSON.stringify(bertTokenizer(WORDS)), ...files };
  for (const [file, content] of Object.entries(all)) writeFileSync(join(folder, file), content);
  const path = join(folder, 'model.onnx');
  writeFileSync(path, graph.finish());
  return path;
}

export function perToken(graph: Graph, _ids: string, rows: string): void {
  graph.node('Identity', [rows], {}, 'last_hidden_state');
  graph.output('last_hidden_state', FLOAT, ['batch', 'tokens', ROWS]);
}

export const LABELS = ['billing', 'shipping', 'other'];
const WEIGHT = 5;
/** What fills a text up must not be seen. */
const UNSEEN = -100;

/** Tells a class by the word that speaks most for it: red for billing, green for shipping. */
export function perText(graph: Graph, _ids: string, rows: string): void {
  const weights = WORDS.slice(0, ROWS).flatMap((word) => {
    if (word === '[PAD]') return [UNSEEN, UNSEEN, UNSEEN];
    return [word === 'red' ? WEIGHT : 0, word === 'green' ? WEIGHT : 0, 1];
  });
  const each = graph.node('MatMul', [rows, graph.floats(new Float32Array(weights), [ROWS, LABELS.length])]);
  graph.node('ReduceMax', [each, graph.integers([1])], { keepdims: 0 }, 'logits');
  graph.output('logits', FLOAT, ['batch', LABELS.length]);
}

/** A config.json with the names of the classes. */
export const labelled = (more = {}) => ({ 'config.json': JSON.stringify({ id2label: { ...LABELS }, ...more }) });
