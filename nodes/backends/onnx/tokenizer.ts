/** A text's tokens, as the model's tokenizer.json makes them. */
import { createHash } from 'node:crypto';
import type { ModelSpec } from '../backend.ts';
import { unusable } from '../gguf.ts';
import type { ModelFiles } from './files.ts';
import { jsonOf } from './files.ts';
import { importOptional } from './library.ts';

/** Blanks between words are no tokens, so a text may have more characters than its tokens could hold. */
const CHARACTERS_PER_TOKEN = 32;
/** Any text that is a token or more. */
const SAMPLE = 'a';

/** What is used of the library, whose own types Node's way to find modules does not find. */
interface Tokenizer {
  encode(text: string, options?: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
}

interface Library {
  readonly Tokenizer: new (json: object, config: object) => Tokenizer;
}

export class TextTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #before: readonly number[];
  readonly #behind: readonly number[];
  readonly #contextSize: number;
  /** Over the whole tokenizer.json. */
  readonly digest: string;

  private constructor(tokenizer: Tokenizer, files: ModelFiles, around: Around) {
    this.#tokenizer = tokenizer;
    this.#before = around.before;
    this.#behind = around.behind;
    this.#contextSize = files.contextSize;
    this.digest = `sha256:${createHash('sha256').update(files.tokenizer).digest('hex')}`;
  }

  /** @throws Fault ENGINE_FAILED that says what to do */
  static async load({ path }: ModelSpec, files: ModelFiles): Promise<TextTokenizer> {
    const library = await importOptional<Library>('@huggingface/tokenizers', () => import('@huggingface/tokenizers'));
    try {
      const tokenizer = new library.Tokenizer(withoutSpecial(jsonOf(files.tokenizer)), files.tokenizerConfig);
      return new TextTokenizer(tokenizer, files, aroundOf(tokenizer));
    } catch (error) {
      throw unusable(path, 'the tokenizer.json beside it is damaged, or of a kind that is not known here; fetch it again', error);
    }
  }

  /** With those that the model puts around it; cut where the context ends, beyond which the text is hardly looked at. */
  tokensOf(text: string): readonly number[] {
    const looked = text.slice(0, this.#contextSize * CHARACTERS_PER_TOKEN).toWellFormed();
    const { ids } = this.#tokenizer.encode(looked, { add_special_tokens: false });
    return [...this.#before, ...ids.slice(0, this.#contextSize - this.#around), ...this.#behind];
  }

  /** Of what the text itself has; a text of nothing is read all the same. */
  countOf(tokens: readonly number[]): number {
    return Math.max(1, tokens.length - this.#around);
  }

  get #around(): number {
    return this.#before.length + this.#behind.length;
  }
}

interface Around {
  readonly before: readonly number[];
  readonly behind: readonly number[];
}

function aroundOf(tokenizer: Tokenizer): Around {
  const bare = tokenizer.encode(SAMPLE, { add_special_tokens: false }).ids;
  const whole = tokenizer.encode(SAMPLE).ids;
  const start = whole.findIndex((_, index) => bare.every((id, offset) => whole[index + offset] === id));
  if (bare.length === 0 || start < 0 || !whole.every(Number.isInteger)) throw new TypeError('no tokens of a text');
  return { before: whole.slice(0, start), behind: whole.slice(start + bare.length) };
}

/** What a user writes is text, also where it is spelled like a token that only the model itself may set. */
function withoutSpecial(json: unknown): object {
  const { added_tokens: added, ...rest } = json as { readonly added_tokens?: readonly { readonly special?: boolean }[] };
  return { ...rest, added_tokens: (added ?? []).filter(({ special }) => !special) };
}
