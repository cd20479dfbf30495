/**
 * What values are called in a store, and so in Redis:
 *
 *   im1:<kind>:<tenant>:<value>     kind is one letter, tenant and value are keyed hashes in base64url
 *
 * The kind comes before the tenant, so that every purge is of a few prefixes. `im1` is the release of this form: a
 * router that names or seals differently has another one, and finds nothing of ours.
 */
import type { KeyKind, LayerName } from './port.ts';

export const RELEASE = 'im1';

const LETTERS: Readonly<Record<KeyKind, string>> = {
  answers: 'a',
  choices: 'c',
  embeddings: 'd',
  evidence: 'e',
  leases: 'l',
  semantic: 's',
};

/** Which model was chosen, and what was asked, live and die with the answers. */
const KINDS: Readonly<Record<LayerName, readonly KeyKind[]>> = {
  answers: ['answers', 'choices', 'semantic'],
  evidence: ['evidence'],
  embeddings: ['embeddings'],
};

export function nameOf(kind: KeyKind, tenantTag: string, value: string): string {
  return `${prefixOf(kind)}${tenantTag}:${value}`;
}

/** What the mesh itself keeps under one name. */
export function meshName(value: string): string {
  return `${RELEASE}:m:${value}`;
}

/** Of all names of a kind, whoever's. */
export function prefixOf(kind: KeyKind): string {
  return `${RELEASE}:${LETTERS[kind]}:`;
}

/** @param name or what a name begins with; undefined: it is of none */
export function kindOf(name: string): KeyKind | undefined {
  return (Object.keys(LETTERS) as KeyKind[]).find((kind) => name.startsWith(prefixOf(kind)));
}

/** @param layer undefined: all @param tenantTag undefined: everybody's */
export function prefixesOf(layer: LayerName | undefined, tenantTag: string | undefined): string[] {
  const kinds = layer === undefined ? Object.values(KINDS).flat() : KINDS[layer];
  return kinds.map((kind) => `${prefixOf(kind)}${tenantTag === undefined ? '' : `${tenantTag}:`}`);
}
