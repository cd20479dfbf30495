/**
 * What routers tell each other as it happens: a session's place, what a KV cache is presumed to hold, what a tenant has
 * spent, a breaker that opened. Losing one costs a little; hearing one late is made up for by its age. Pure.
 */
import { z } from 'zod';
import { MOST_PREFIXES } from '../../proto/contract/prefix.ts';

const name = z.string().min(1).max(256);
/** By the clock of who tells it, in ms. */
const at = z.number();
const figure = z.number();
const hash = z.int().min(0);

const schema = z.discriminatedUnion('kind', [
  /** `session` is a keyed hash. */
  z.object({ kind: z.literal('session'), at, session: name, node: name, model: name }),
  z.object({
    kind: z.literal('presumed'),
    at,
    node: name,
    model: name,
    prefixes: z.array(z.object({ hash, bytes: hash })).max(MOST_PREFIXES),
  }),
  z.object({ kind: z.literal('spent'), at, tenant: name, requests: figure.min(0), tokens: figure }),
  z.object({ kind: z.literal('opened'), at, node: name, model: name.optional(), openMs: figure.min(0) }),
]);

export type News = Readonly<z.infer<typeof schema>>;

/** @returns undefined: nothing that this version knows */
export function readNews(value: unknown): News | undefined {
  return schema.safeParse(value).data;
}
