/** Writes ONNX files: graphs of operators with their weights, as ONNX's onnx.proto numbers the fields. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

const IR_VERSION = 10;
const OPSET = 20;
export const FLOAT = 1;
export const INT64 = 7;
const ATTRIBUTE_FLOAT = 1;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;

type Attribute = number | readonly number[] | { readonly float: number };

/** A name stands for a size that is known only when the model runs. */
export type Shape = readonly (number | string)[];

export class Graph {
  readonly #graph = new BinaryWriter();
  #names = 0;

  input(name: string, type: number, shape: Shape): string {
    this.#message(11, valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: number, shape: Shape): void {
    this.#message(12, valueInfo(name, type, shape));
  }

  floats(values: Float32Array, shape: readonly number[] = [values.length]): string {
    return this.#initializer(FLOAT, Buffer.from(values.buffer, values.byteOffset, values.byteLength), shape);
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.#initializer(INT64, Buffer.from(BigInt64Array.from(values, BigInt).buffer), shape);
  }

  /** @returns the name of its one output */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output = this.#fresh(),
  ): string {
    const node = new BinaryWriter();
    for (const input of inputs) text(node, 1, input);
    text(node, 2, output);
    text(node, 4, operator);
    for (const [name, value] of Object.entries(attributes)) message(node, 5, attribute(name, value));
    this.#message(1, node);
    return output;
  }

  /** The whole file. */
  finish(): Uint8Array {
    text(this.#graph, 2, 'graph');
    const opset = new BinaryWriter();
    opset.tag(2, WireType.Varint).int64(OPSET);
    const model = new BinaryWriter();
    model.tag(1, WireType.Varint).int64(IR_VERSION);
    message(model, 7, this.#graph);
    message(model, 8, opset);
    return model.finish();
  }

  #initializer(type: number, bytes: Uint8Array, shape: readonly number[]): string {
    const name = this.#fresh();
    const tensor = new BinaryWriter();
    for (const size of shape) tensor.tag(1, WireType.Varint).int64(size);
    tensor.tag(2, WireType.Varint).int32(type);
    text(tensor, 8, name);
    tensor.tag(9, WireType.LengthDelimited).bytes(bytes);
    this.#message(5, tensor);
    return name;
  }

  #fresh(): string {
    return `t${this.#names++}`;
  }

  #message(field: number, value: BinaryWriter): void {
    message(this.#graph, field, value);
  }
}

function attribute(name: string, value: Attribute): BinaryWriter {
  const writer = new BinaryWriter();
  text(writer, 1, name);
  if (typeof value === 'number') {
    writer.tag(3, WireType.Varint).int64(value).tag(20, WireType.Varint).int32(ATTRIBUTE_INT);
  } else if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float).tag(20, WireType.Varint).int32(ATTRIBUTE_FLOAT);
  } else {
    for (const each of value) writer.tag(8, WireType.Varint).int64(each);
    writer.tag(20, WireType.Varint).int32(ATTRIBUTE_INTS);
  }
  return writer;
}

function valueInfo(name: string, type: number, sizes: Shape): BinaryWriter {
  const shape = new BinaryWriter();
  for (const size of sizes) {
    const dimension = new BinaryWriter();
    if (typeof size === 'number') dimension.tag(1, WireType.Varint).int64(size);
    else text(dimension, 2, size);
    message(shape, 1, dimension);
  }
  const tensor = new BinaryWriter();
  tensor.tag(1, WireType.Varint).int32(type);
  message(tensor, 2, shape);
  const kind = new BinaryWriter();
  message(kind, 1, tensor);
  const info = new BinaryWriter();
  text(info, 1, name);
  message(info, 2, kind);
  return info;
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function message(writer: BinaryWriter, field: number, value: BinaryWriter): void {
  writer.tag(field, WireType.LengthDelimited).bytes(value.finish());
}
