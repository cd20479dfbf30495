/**
 * The bundled all-minilm-l6-v2 as an ONNX model of Hugging Face's form, made of the very weights that llama.cpp reads:
 * so the two engines can be held against each other, without a network.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readGgufFileInfo } from 'node-llama-cpp';
import { FLOAT, Graph, INT64 } from './graph.ts';

export const MINILM_GGUF = fileURLToPath(new URL('../../../nodes/models/bundled/all-minilm-l6-v2-q8_0.gguf', import.meta.url));

const ALIGNMENT = 32;
const Q8_0 = 8;
const Q8_0_VALUES = 32;
const Q8_0_BYTES = 34;
const WORD_BEGINS = '\u2581';

type Weights = (name: string) => { readonly values: Float32Array; readonly shape: readonly number[] };

/** @returns the path of its weights; its tokenizer.json and config.json lie one folder above, as Hugging Face has them */
export async function writeMiniLm(folder: string): Promise<string> {
  const info = await readGgufFileInfo(MINILM_GGUF, { readTensorInfo: true, fetchHeaders: {} });
  const tokens = info.metadata.tokenizer.ggml?.tokens ?? [];
  mkdirSync(join(folder, 'onnx'));
  const path = join(folder, 'onnx', 'model.onnx');
  writeFileSync(path, bert(weightsOf(info)));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(bertTokenizer(tokens.map(spelled))));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ model_type: 'bert', max_position_embeddings: 512 }));
  return path;
}

/** A tokenizer.json of BERT's kind. */
export function bertTokenizer(tokens: readonly string[]): object {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const added = special.map((content) => ({ id: tokens.indexOf(content), content, special: true }));
  return {
    added_tokens: added.filter(({ id }) => id >= 0),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'BertProcessing',
      cls: ['[CLS]', tokens.indexOf('[CLS]')],
      sep: ['[SEP]', tokens.indexOf('[SEP]')],
    },
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  };
}

/** llama.cpp marks where a word begins, BERT where it goes on. */
function spelled(token: string): string {
  if (token.startsWith('[') && token.endsWith(']')) return token;
  return token.startsWith(WORD_BEGINS) ? token.slice(1) : `##${token}`;
}

function weightsOf(info: Awaited<ReturnType<typeof readGgufFileInfo>>): Weights {
  const file = readFileSync(MINILM_GGUF);
  const start = Math.ceil((info.infoEndOffset ?? 0) / ALIGNMENT) * ALIGNMENT;
  const tensors = new Map(info.fullTensorInfo?.map((tensor) => [tensor.name, tensor]));
  return (name) => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the bundled model has no ${name}`);
    const shape = tensor.dimensions.map(Number).toReversed();
    const count = shape.reduce((product, size) => product * size, 1);
    const bytes = file.subarray(start + Number(tensor.offset));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const values =
      tensor.ggmlType === Q8_0
        ? dequantised(view, count)
        : Float32Array.from({ length: count }, (_, i) => view.getFloat32(i * 4, true));
    return { values, shape };
  };
}

function dequantised(view: DataView, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let first = 0, block = 0; first < count; first += Q8_0_VALUES, block += Q8_0_BYTES) {
    const scale = view.getFloat16(block, true);
    for (let i = 0; i < Q8_0_VALUES; i++) values[first + i] = scale * view.getInt8(block + 2 + i);
  }
  return values;
}

const HEADS = 12;
const WIDTH = 384;
const HEAD_WIDTH = WIDTH / HEADS;
const LAYERS = 6;
const EPSILON = { epsilon: { float: 1e-12 } };

function bert(weights: Weights): Uint8Array {
  const graph = new Graph();
  const text = ['batch', 'tokens'];
  const ids = graph.input('input_ids', INT64, text);
  const mask = graph.input('attention_mask', INT64, text);
  const types = graph.input('token_type_ids', INT64, text);
  const number = (value: number) => graph.floats(new Float32Array([value]));
  const tensor = (name: string) => {
    const { values, shape } = weights(name);
    return graph.floats(values, shape);
  };
  const norm = (x: string, name: string) =>
    graph.node('LayerNormalization', [x, tensor(`${name}.weight`), tensor(`${name}.bias`)], EPSILON);
  const dense = (x: string, name: string) => {
    const turned = graph.node('Transpose', [tensor(`${name}.weight`)], { perm: [1, 0] });
    return graph.node('Add', [graph.node('MatMul', [x, turned]), tensor(`${name}.bias`)]);
  };

  const width = graph.node('Gather', [graph.node('Shape', [ids]), graph.integers([1])]);
  const positions = graph.node('Slice', [tensor('position_embd.weight'), graph.integers([0]), width]);
  const words = graph.node('Gather', [tensor('token_embd.weight'), ids]);
  const typed = graph.node('Add', [words, graph.node('Gather', [tensor('token_types.weight'), types])]);
  let x = norm(graph.node('Add', [typed, positions]), 'token_embd_norm');
  const seen = graph.node('Cast', [mask], { to: FLOAT });
  const unseen = graph.node('Mul', [graph.node('Sub', [number(1), seen]), number(-1e9)]);
  const hidden = graph.node('Unsqueeze', [unseen, graph.integers([1, 2])]);

  for (let layer = 0; layer < LAYERS; layer++) {
    const block = `blk.${layer}`;
    const head = (part: string, perm: readonly number[]) => {
      const split = graph.node('Reshape', [dense(x, `${block}.${part}`), graph.integers([0, 0, HEADS, HEAD_WIDTH])]);
      return graph.node('Transpose', [split], { perm });
    };
    const product = graph.node('MatMul', [head('attn_q', [0, 2, 1, 3]), head('attn_k', [0, 2, 3, 1])]);
    const scaled = graph.node('Mul', [product, number(1 / Math.sqrt(HEAD_WIDTH))]);
    const attention = graph.node('Softmax', [graph.node('Add', [scaled, hidden])], { axis: -1 });
    const looked = graph.node('MatMul', [attention, head('attn_v', [0, 2, 1, 3])]);
    const joined = graph.node('Reshape', [
      graph.node('Transpose', [looked], { perm: [0, 2, 1, 3] }),
      graph.integers([0, 0, WIDTH]),
    ]);
    x = norm(graph.node('Add', [x, dense(joined, `${block}.attn_output`)]), `${block}.attn_output_norm`);
    const wide = graph.node('Gelu', [dense(x, `${block}.ffn_up`)]);
    x = norm(graph.node('Add', [x, dense(wide, `${block}.ffn_down`)]), `${block}.layer_output_norm`);
  }
  graph.node('Identity', [x], {}, 'last_hidden_state');
  graph.output('last_hidden_state', FLOAT, [...text, WIDTH]);
  return graph.finish();
}
