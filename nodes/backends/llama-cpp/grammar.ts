/** Grammars of JSON Schemas, and where in one an answer stands. */
import type { Llama, LlamaGrammar, LlamaGrammarEvaluationState, Token } from 'node-llama-cpp';
import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import { readSchema } from '../json-schema.ts';
import type { Loaded } from './model.ts';

/** With which the library lets the grammar of a JSON schema end. */
export const GRAMMAR_END = '\n\n\n\n';
/** Grammars kept ready; callers tend to come back with the same schema. */
const KEPT = 32;

export class Grammars {
  readonly #kept = new Map<string, LlamaGrammar>();

  /**
   * @param jsonSchema not empty
   * @param answer tokens of the answer that were delivered before
   * @returns a grammar that stands behind them
   */
  async behind(loaded: Loaded, jsonSchema: string, answer: readonly Token[]): Promise<LlamaGrammarEvaluationState | Failure> {
    const grammar = await this.#grammar(loaded, jsonSchema);
    if ('type' in grammar) return grammar;
    const state = new loaded.library.LlamaGrammarEvaluationState({ model: loaded.model, grammar });
    return answer.length === 0 ? state : replayed(loaded.llama, state, answer);
  }

  async #grammar({ llama }: Loaded, jsonSchema: string): Promise<LlamaGrammar | Failure> {
    const known = this.#kept.get(jsonSchema);
    if (known) return known;
    const read = readSchema(jsonSchema);
    if ('type' in read) return read;
    try {
      const grammar = await llama.createGrammarForJsonSchema(read.schema as Parameters<Llama['createGrammarForJsonSchema']>[0]);
      const oldest = this.#kept.size >= KEPT ? this.#kept.keys().next().value : undefined;
      if (oldest !== undefined) this.#kept.delete(oldest);
      this.#kept.set(jsonSchema, grammar);
      return grammar;
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      return failure('UNSUPPORTED', `json_schema: the engine can make no grammar of it (${name})`);
    }
  }
}

/** What the library itself advances a grammar with; it is not in its types. */
interface GrammarSampler {
  canBeNextTokenForGrammarEvaluationState(state: unknown, token: Token): boolean;
  acceptGrammarEvaluationStateToken(state: unknown, token: Token): void;
}
interface Internals {
  readonly _bindings?: { readonly AddonSampler?: Partial<GrammarSampler> };
}

/** Whether the library has what it takes to stand behind the beginning of a structured answer. */
export const replaysGrammars = (llama: Llama) => samplerOf(llama) !== undefined;

function samplerOf(llama: Llama): GrammarSampler | undefined {
  const sampler = (llama as unknown as Internals)._bindings?.AddonSampler;
  return typeof sampler?.canBeNextTokenForGrammarEvaluationState === 'function' &&
    typeof sampler.acceptGrammarEvaluationStateToken === 'function'
    ? (sampler as GrammarSampler)
    : undefined;
}

function replayed(llama: Llama, state: LlamaGrammarEvaluationState, answer: readonly Token[]) {
  const sampler = samplerOf(llama);
  if (!sampler) return failure('STREAM_NOT_RESUMABLE', 'the engine cannot go on with an answer under a JSON schema');
  const { _state: native } = state as unknown as { readonly _state: unknown };
  for (const [position, token] of answer.entries()) {
    // A token that the grammar does not allow would end the process.
    if (!sampler.canBeNextTokenForGrammarEvaluationState(native, token)) {
      return failure('STREAM_NOT_RESUMABLE', `token ${position} of what was delivered does not fit the JSON schema`);
    }
    sampler.acceptGrammarEvaluationStateToken(native, token);
  }
  return state;
}
