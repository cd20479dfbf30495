/** A normalised prompt, cut into what is compared. Pure. */

export type Token =
  /** To be found letter by letter in the other prompt: quotations, addresses, identifiers. */
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'symbol'; readonly text: string }
  | { readonly kind: 'word'; readonly text: string; readonly lower: string; readonly capital: boolean; readonly begins: boolean };

const LITERALS = [
  String.raw`https?:\/\/\S+`,
  String.raw`[\w.+-]+@[\w-]+\.[\w.-]+`,
  '`[^`]+`',
  '"[^"]+"',
  '“[^”]+”',
  '„[^“”]+[“”]',
  '«[^»]+»',
  '「[^」]+」',
  String.raw`(?<![\p{L}\p{N}])'[^']+'(?![\p{L}\p{N}])`,
  // Paths, flags, and names of things in programs.
  String.raw`(?<![\p{L}\p{N}])(?:~|\.{1,2})?(?:\/[\w.@-]+){2,}`,
  String.raw`(?<![\p{L}\p{N}-])--?[a-zA-Z][\w-]*`,
  String.raw`\p{L}[\p{L}\p{N}]*(?:(?:_|\.(?=\p{Ll})|::|\/|\\|@|#(?=\p{L}))[\p{L}\p{N}]+)+`,
  String.raw`\p{Ll}+\p{Lu}[\p{L}\p{N}]*|\p{Lu}\p{Ll}+\p{Lu}[\p{L}\p{N}]*`,
  String.raw`\p{L}+\d[\p{L}\d]*(?:[-.]\d+)*`,
];
const NUMBER = String.raw`(?<![\p{L}\p{N}])[+-]?\p{Nd}{1,3}(?:[ ,.']\p{Nd}{3})+(?!\p{Nd})(?:[.,]\p{Nd}+)?|(?:(?<![\p{L}\p{N}])[+-])?\p{Nd}+(?:[.,:/]\p{Nd}+)*`;
const WORD = String.raw`\p{L}[\p{L}\p{M}]*(?:'[\p{L}\p{M}]+)*'?(?:\+\+|#)?`;
const PATTERN = new RegExp(`(${LITERALS.join('|')})|(${NUMBER})|(${WORD})|([^\\s])`, 'gu');

/** Says nothing of its own. */
const PUNCTUATION = /^[.,;:!?¿¡()"'“”„«»‹›…、。「」！？，；：·–—-]$/u;
const ENDS_SENTENCE = /^[.!?:;¿¡。！？]$/u;
/** Scripts written without spaces: each sign is a word. */
const SIGNS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let begins = true;
  for (const [whole, literal, number, word] of text.matchAll(PATTERN)) {
    if (literal !== undefined) tokens.push({ kind: 'literal', text: literal });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else if (word !== undefined) tokens.push(...wordsOf(word, begins));
    else if (!PUNCTUATION.test(whole)) tokens.push({ kind: 'symbol', text: whole });
    begins = word === undefined && literal === undefined && number === undefined ? begins || ENDS_SENTENCE.test(whole) : false;
  }
  return tokens;
}

function wordsOf(text: string, begins: boolean): Token[] {
  if (SIGNS.test(text)) return [...text].map((sign) => wordOf(sign, false));
  return [wordOf(text.replace(/'$/, ''), begins)];
}

function wordOf(text: string, begins: boolean): Token {
  const lower = text.toLowerCase();
  const first = text.slice(0, 1);
  return { kind: 'word', text, lower, capital: first !== first.toLowerCase(), begins };
}
