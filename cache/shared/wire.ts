/** How replicas and events are written: JSON, sealed under names that follow from the mesh's secret and tell nothing. Pure. */
import { z } from 'zod';
import type { Key, Stored } from '../port.ts';
import type { Index, Part } from './replica-set.ts';
import { MOST_PARTS, MOST_REPLICAS } from './replica-set.ts';

const id = z.string().regex(/^[\w-]{1,64}$/);
const count = z.int().min(0);

export const rosterSchema = z.array(id).max(MOST_REPLICAS);

const headSchema = z.object({
  /** What the router is called in logs. */
  router: z.string().regex(/^[\w-]{1,64}$/),
  /** Of the replica, as far as it has been written. */
  version: count,
  /** By the router's monotonic clock, in milliseconds. */
  at: z.number(),
  /** Of its last batch of events; 0: none yet. */
  batch: count,
  /** It has left in order. */
  ended: z.boolean(),
});
export type Head = Readonly<z.infer<typeof headSchema>>;

const indexSchema = z.object({ version: count, parts: z.array(z.tuple([z.string().min(1).max(256), count])).max(MOST_PARTS) });
const partSchema = z.object({ version: count, body: z.string() });
const batchSchema = z.object({ batch: count, events: z.array(z.unknown()).max(4096) });
export type Batch = Readonly<z.infer<typeof batchSchema>>;

export interface Keys {
  /** The name of something that is the mesh's own, and what seals it. */
  ofMesh(what: string): Key;
}

/** Names are made for this place alone, so what was moved from another does not open. */
export class Wire {
  readonly #keys: Keys;
  /** Values that were none of ours. */
  rejected = 0;

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  readonly roster = this.#kind('roster', rosterSchema);
  readonly head = this.#kind('head', headSchema);
  readonly index = this.#kind('index', indexSchema);
  readonly part = this.#kind('part', partSchema);
  readonly batch = this.#kind('batch', batchSchema);

  #kind<Value>(kind: string, schema: z.ZodType<Value>) {
    const keyOf = (of: string) => this.#keys.ofMesh(`shared ${kind} ${of}`);
    return {
      name: (of: string) => keyOf(of).name,
      write: (of: string, value: Value): readonly [name: string, value: Buffer] => {
        const key = keyOf(of);
        return [key.name, key.seal(Buffer.from(JSON.stringify(value)))];
      },
      /** Undefined: nothing of ours. */
      read: (of: string, sealed: Stored): Value | undefined => {
        if (!sealed || sealed === 'unknown') return undefined;
        const value = parsed(keyOf(of).open(sealed), schema);
        if (value === undefined) this.rejected++;
        return value;
      },
    };
  }
}

function parsed<Value>(text: Buffer | undefined, schema: z.ZodType<Value>): Value | undefined {
  if (!text) return undefined;
  try {
    return schema.safeParse(JSON.parse(text.toString())).data;
  } catch {
    return undefined;
  }
}

export function indexOf({ version, parts }: z.infer<typeof indexSchema>): Index {
  return { version, parts: new Map(parts) };
}

export function listOf(parts: ReadonlyMap<string, Part>): [name: string, version: number][] {
  return [...parts].map(([name, { version }]) => [name, version]);
}
