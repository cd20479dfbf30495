/** Bytes that were right once. Pure: the same seed gives the same bytes. */

type Mutation = (bytes: Buffer, random: () => number, others: readonly Buffer[]) => Buffer;

const at = (bytes: Buffer, random: () => number) => Math.floor(random() * (bytes.length + 1));
/** Values at which lengths, varints and tags go over. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];

const MUTATIONS: readonly Mutation[] = [
  function flipABit(bytes, random) {
    const copy = Buffer.from(bytes);
    const place = Math.floor(random() * copy.length);
    copy[place] = (copy[place] as number) ^ (1 << Math.floor(random() * 8));
    return copy;
  },
  function setAnEdge(bytes, random) {
    const copy = Buffer.from(bytes);
    copy[Math.floor(random() * copy.length)] = EDGES[Math.floor(random() * EDGES.length)] as number;
    return copy;
  },
  function cutShort(bytes, random) {
    return bytes.subarray(0, at(bytes, random));
  },
  function insertNoise(bytes, random) {
    const place = at(bytes, random);
    const noise = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 16) }, () => Math.floor(random() * 256)));
    return Buffer.concat([bytes.subarray(0, place), noise, bytes.subarray(place)]);
  },
  function insertAnEndlessVarint(bytes, random) {
    const place = at(bytes, random);
    return Buffer.concat([bytes.subarray(0, place), Buffer.alloc(11, 0xff), bytes.subarray(place)]);
  },
  function repeatAPart(bytes, random) {
    const [from, to] = [at(bytes, random), at(bytes, random)].sort((a, b) => a - b) as [number, number];
    return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from, to), bytes.subarray(to)]);
  },
  function leaveOutAPart(bytes, random) {
    const [from, to] = [at(bytes, random), at(bytes, random)].sort((a, b) => a - b) as [number, number];
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  function goOnAsAnother(bytes, random, others) {
    const other = others[Math.floor(random() * others.length)] ?? bytes;
    return Buffer.concat([bytes.subarray(0, at(bytes, random)), other.subarray(at(other, random))]);
  },
];

/** One of `corpus`, changed in one to four ways. */
export function mutated(corpus: readonly Buffer[], random: () => number): Buffer {
  let bytes = corpus[Math.floor(random() * corpus.length)] as Buffer;
  for (let changes = 1 + Math.floor(random() * 4); changes > 0; changes--) {
    if (bytes.length === 0) bytes = Buffer.from([0]);
    bytes = (MUTATIONS[Math.floor(random() * MUTATIONS.length)] as Mutation)(bytes, random, corpus);
  }
  return bytes.subarray(0, 65_536);
}
