/** Bytes <-> messages at the edge of a server, stricter than protobuf libraries are by default. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { Fault, invalid } from '../contract/faults.ts';

/** A message type as ts-proto generates it. */
export interface MessageType<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(input: BinaryReader | Uint8Array): T;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A string of proto3 must be valid UTF-8, lone surrogates excluded; the library would replace what is not. */
function strictUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    const description = `must be valid UTF-8, received ${bytes.length} bytes that are not`;
    throw new Fault('INVALID_REQUEST', `a string ${description}`, { violations: [{ field: '(string)', description }], cause });
  }
}

/**
 * Tags and lengths in one request. The largest that is within all bounds has some 6,000; without a limit 6 MiB of empty
 * messages would hold the event loop, and with it every other stream, for more than a second.
 */
const MAX_PARTS = 20_000;

function boundedReader(bytes: Uint8Array): BinaryReader {
  const reader = new BinaryReader(bytes, strictUtf8);
  const next = reader.uint32;
  let parts = 0;
  reader.uint32 = () => {
    if (++parts > MAX_PARTS) {
      throw invalid([{ field: '(message)', description: `must have at most ${MAX_PARTS} fields and items, received more` }]);
    }
    return next.call(reader);
  };
  return reader;
}

/** @throws Fault INVALID_REQUEST */
export function decodeRequest<T>(type: MessageType<T>, name: string, bytes: Uint8Array): T {
  try {
    return type.decode(boundedReader(bytes));
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw invalid([{ field: '(message)', description: `must be a ${name}, received ${bytes.length} bytes that are not` }]);
  }
}

/** A string at the top of a message that can't be decoded as a whole; empty where there is none. */
export function stringIn(bytes: Uint8Array, field: number): string {
  const reader = new BinaryReader(bytes);
  let found = '';
  try {
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (number === field && type === WireType.LengthDelimited) found = reader.string();
      else reader.skip(type, number);
    }
  } catch {
    // What stands behind a place that can't be read is not found.
  }
  return found;
}

export function encodeMessage<T>(type: MessageType<T>, message: T): Buffer {
  const array = type.encode(message).finish();
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}
