/** NAME, or NAME@DIGEST for one version of a model: the first 8 to 64 digits of the sha256 of its weights. Pure. */
import type { Fault } from '../../proto/contract/faults.ts';
import { invalid } from '../../proto/contract/faults.ts';

export interface Wanted {
  readonly name: string;
  /** The beginning of a digest; absent: the version that the catalogue names, or the one that came last. */
  readonly digest?: string | undefined;
}

const DIGEST = /^[0-9a-f]{8,64}$/;
const SHOWN_DIGITS = 8;

/** @throws Fault INVALID_REQUEST for what stands behind an @ and is no beginning of a digest */
export function parseWanted(text: string): Wanted {
  const at = text.startsWith('file:') ? -1 : text.indexOf('@');
  if (at < 0) return { name: text };
  const digest = text.slice(at + 1).replace(/^sha256:/, '');
  if (DIGEST.test(digest)) return { name: text.slice(0, at), digest };
  throw problem('must have 8 to 64 hexadecimal digits of a digest behind @, in lower case');
}

/**
 * The one of `versions` that is meant, or none.
 * @throws Fault INVALID_REQUEST where the digits fit several
 */
export function choose<V extends { readonly sha256: string }>(
  { name, digest = '' }: Wanted,
  versions: readonly V[],
): V | undefined {
  const fitting = versions.filter(({ sha256 }) => sha256.startsWith(digest));
  if (fitting.length < 2) return fitting[0];
  throw problem(`fits ${fitting.map(({ sha256 }) => `${name}@${sha256.slice(0, digest.length + SHOWN_DIGITS)}`).join(' and ')}`);
}

/** How a version is called where somebody reads it. */
export function versionName(name: string, sha256: string): string {
  return `${name}@${sha256.slice(0, SHOWN_DIGITS)}`;
}

function problem(description: string): Fault {
  return invalid([{ field: 'model', description }]);
}
