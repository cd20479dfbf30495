/**
 * gRPC's own message framing: a compression flag, a 32-bit big-endian length, the message. Pure.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message.
 */
export const PREFIX_BYTES = 5;

/** One uncompressed message, ready for an HTTP/2 stream. */
export function framed(message: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  out[0] = 0;
  out.writeUInt32BE(message.length, 1);
  out.set(message, PREFIX_BYTES);
  return out;
}

/** Whether `data` is a sequence of whole, uncompressed messages and nothing else. */
export function isWhole(data: Buffer): boolean {
  let at = 0;
  while (at + PREFIX_BYTES <= data.length) {
    if (data[at] !== 0) return false;
    at += PREFIX_BYTES + data.readUInt32BE(at + 1);
  }
  return at === data.length && at > 0;
}

/** The messages of such a sequence, as views into it. */
export function messagesOf(data: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < data.length; ) {
    const end = at + PREFIX_BYTES + data.readUInt32BE(at + 1);
    messages.push(data.subarray(at + PREFIX_BYTES, end));
    at = end;
  }
  return messages;
}
