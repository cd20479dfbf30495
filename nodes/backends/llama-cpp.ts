/**
 * llama.cpp by node-llama-cpp: one context with a sequence for each slot, so that llama.cpp decodes all running jobs in
 * one batch. The only file that imports the library, and only when a model is loaded.
 *
 * A native assertion ends the process, therefore nodes/engine runs this in a child.
 */
import { createHash, randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type {
  ChatHistoryItem,
  ChatWrapper,
  Llama,
  LlamaContext,
  LlamaContextSequence,
  LlamaGrammar,
  LlamaModel,
  SequenceEvaluateOptions,
  Token,
} from 'node-llama-cpp';
import type { Fault } from '../../proto/contract/faults.ts';
import type { Message, Sampling, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason, Role } from '../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Load, LoadOptions, Outcome, Run, Sink } from './backend.ts';
import { checkGgufHeader, unusable } from './gguf.ts';
import type { Failure } from './job-run.ts';
import { failure, finish, JobRun } from './job-run.ts';
import { readSchema } from './json-schema.ts';
import { assumedWatts } from './power.ts';
import { SlotQueue } from './slot-queue.ts';
import { TextAssembler } from './text-assembler.ts';

type Library = typeof import('node-llama-cpp');

/** Prompt tokens given to the engine at once. Small enough that others' tokens and a cancel need not wait for long. */
const PREFILL_CHUNK_CPU = 64;
const PREFILL_CHUNK_GPU = 512;
/** Tokens that the repetition penalties look back on, as in llama.cpp. */
const PENALTY_WINDOW = 64;
/** Grammars kept ready; callers tend to come back with the same schema. */
const GRAMMAR_CACHE = 32;
const DEFAULT_REPEAT_PENALTY = 1;

/** Everything that exists while a model is in memory. */
interface Loaded {
  readonly library: Library;
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly wrapper: ChatWrapper;
  readonly longestToken: number;
  readonly prefillChunk: number;
  readonly threads: number;
}

interface Prompt {
  readonly tokens: Token[];
  /** Texts and tokens at which the chat template says that the model's turn is over. */
  readonly stopTexts: readonly string[];
  readonly stopTokens: ReadonlySet<Token>;
}

interface Work {
  readonly job: Job;
  readonly run: JobRun;
  readonly prompt: Prompt;
}

export class LlamaCppBackend implements Backend {
  #loaded: Loaded | undefined;
  #queue: SlotQueue<LlamaContextSequence, Work> | undefined;
  #sequences: readonly LlamaContextSequence[] = [];
  readonly #grammars = new Map<string, LlamaGrammar>();
  readonly #answers = new Set<Promise<void>>();
  #queuedPromptTokens = 0;
  #disposed = false;

  async load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel> {
    const { model: spec } = options;
    await checkGgufHeader(spec.path);
    const loaded = await loadModel(options, progress);
    const sequences = Array.from({ length: options.slots }, () => loaded.context.getSequence());
    const rates = await measure(loaded, sequences[0]!);
    this.#loaded = loaded;
    this.#sequences = sequences;
    this.#queue = new SlotQueue(sequences, mostInCommon, (sequence, work) => this.#start(loaded, sequence, work));
    progress(1);
    return {
      name: spec.name,
      digest: spec.digest,
      engine: 'llama-cpp',
      engineVersion: loaded.llama.llamaCppRelease.release,
      quantization: spec.quantization,
      contextLength: loaded.context.contextSize,
      tokenizerDigest: tokenizerDigest(loaded.model),
      tier: spec.tier,
      tasks: [...spec.tasks],
      slots: options.slots,
      ...rates,
      price: spec.price,
      sizeBytes: spec.sizeBytes,
      licence: spec.licence,
      structuredOutput: true,
      resumes: false,
      resumesStructured: false,
      watts: options.watts ?? assumedWatts(loaded.threads, loaded.model.gpuLayers),
    };
  }

  generate(job: Job, sink: Sink): Run {
    let work: Work | undefined;
    const run = new JobRun(
      sink,
      () => performance.now(),
      () => this.#leaveQueue(work),
    );
    const prompt = this.#prepare(job);
    // The caller gets its handle before the first word on the sink.
    if ('type' in prompt) setImmediate(() => run.end(run.aborted ?? prompt));
    else {
      const queued = { job, run, prompt };
      work = queued;
      this.#queuedPromptTokens += prompt.tokens.length;
      setImmediate(() => this.#enqueue(queued));
    }
    return run;
  }

  currentLoad(): Load {
    const busy = [...(this.#queue?.running.values() ?? [])];
    const cells = (this.#loaded?.context.contextSize ?? 0) * (this.#loaded?.context.totalSequences ?? 0);
    const used = busy.reduce((sum, sequence) => sum + sequence.nextTokenIndex, 0);
    return {
      running: busy.length,
      queued: this.#queue?.waiting.size ?? 0,
      queuedPromptTokens: this.#queuedPromptTokens,
      kvCacheUse: cells === 0 ? 0 : used / cells,
    };
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const { waiting = new Set<Work>(), running = new Map<Work, LlamaContextSequence>() } = this.#queue ?? {};
    for (const work of [...waiting, ...running.keys()]) work.run.abort(SHUTTING_DOWN);
    // Freeing memory under a running decode crashes the process.
    await Promise.all(this.#answers);
    const loaded = this.#loaded;
    this.#loaded = undefined;
    await loaded?.context.dispose();
    await loaded?.model.dispose();
    await loaded?.llama.dispose();
  }

  #prepare(job: Job): Prompt | Failure {
    if (this.#disposed) return SHUTTING_DOWN;
    if (!this.#loaded) return failure('ENGINE_FAILED', 'no model is loaded');
    try {
      return renderPrompt(this.#loaded, job.messages);
    } catch (error) {
      return failure('ENGINE_FAILED', `the model's chat template refused the messages (${nameOf(error)})`);
    }
  }

  #enqueue(work: Work): void {
    const why = work.run.aborted ?? (this.#disposed ? SHUTTING_DOWN : undefined);
    if (why || !this.#queue) {
      this.#queuedPromptTokens -= work.prompt.tokens.length;
      work.run.end(why ?? SHUTTING_DOWN);
      return;
    }
    this.#queue.add(work);
  }

  #leaveQueue(work: Work | undefined): void {
    if (!work?.run.aborted || !this.#queue?.leave(work)) return;
    this.#queuedPromptTokens -= work.prompt.tokens.length;
    work.run.end(work.run.aborted);
  }

  #start(loaded: Loaded, sequence: LlamaContextSequence, work: Work): void {
    this.#queuedPromptTokens -= work.prompt.tokens.length;
    work.run.begin(this.#sequences.indexOf(sequence));
    const answer = this.#answer(loaded, sequence, work)
      .catch((error: unknown) => failure('ENGINE_FAILED', `the engine broke the request (${nameOf(error)})`))
      .then((outcome) => {
        this.#queue?.free(work);
        work.run.end(outcome);
        this.#answers.delete(answer);
        this.#queue?.handOn();
      });
    this.#answers.add(answer);
  }

  async #answer(loaded: Loaded, sequence: LlamaContextSequence, { job, run, prompt }: Work): Promise<Outcome> {
    const grammar = await this.#grammar(loaded, job.jsonSchema);
    if (grammar && 'type' in grammar) return grammar;
    const cached = await reuse(sequence, prompt.tokens);
    const last = await prefill(loaded, sequence, prompt.tokens.slice(cached), run);
    if (run.aborted) return run.aborted;

    const generated: Token[] = [];
    const stops = [...job.stop, ...prompt.stopTexts, ...(grammar ? [GRAMMAR_END] : [])];
    const text = new TextAssembler(
      (tokens, before) => loaded.model.detokenize(tokens as Token[], false, before as Token[]),
      stops,
    );
    const done = (reason: FinishReason): Outcome => {
      for (const piece of text.flush()) run.deliver(piece);
      return finish(reason, { inputTokens: prompt.tokens.length, outputTokens: run.tokens, cachedInputTokens: cached });
    };
    const options = evaluateOptions(loaded, job.sampling, generated, grammar);
    for await (const token of sequence.evaluate(last, options)) {
      run.token();
      generated.push(token);
      if (prompt.stopTokens.has(token)) return done(FinishReason.FINISH_REASON_STOP);
      const piece = text.push(token);
      if (piece) run.deliver(piece);
      if (text.matched !== undefined) {
        const asked = text.matched < job.stop.length;
        return done(asked ? FinishReason.FINISH_REASON_STOP_STRING : FinishReason.FINISH_REASON_STOP);
      }
      // One cell more and the library would drop the oldest tokens.
      const full = sequence.nextTokenIndex >= sequence.contextSize - 1;
      if (full || generated.length >= job.maxTokens) return done(FinishReason.FINISH_REASON_LENGTH);
      if (run.paused) await run.released();
      if (run.aborted) return run.aborted;
    }
    return done(FinishReason.FINISH_REASON_STOP);
  }

  async #grammar({ llama }: Loaded, jsonSchema: string): Promise<LlamaGrammar | Failure | undefined> {
    if (jsonSchema === '') return undefined;
    const known = this.#grammars.get(jsonSchema);
    if (known) return known;
    const read = readSchema(jsonSchema);
    if ('type' in read) return read;
    try {
      const grammar = await llama.createGrammarForJsonSchema(read.schema as Parameters<Llama['createGrammarForJsonSchema']>[0]);
      const oldest = this.#grammars.size >= GRAMMAR_CACHE ? this.#grammars.keys().next().value : undefined;
      if (oldest !== undefined) this.#grammars.delete(oldest);
      this.#grammars.set(jsonSchema, grammar);
      return grammar;
    } catch (error) {
      return failure('UNSUPPORTED', `json_schema: the engine can make no grammar of it (${nameOf(error)})`);
    }
  }
}

const SHUTTING_DOWN = failure('DRAINING', 'the engine is shutting down');
/** With which the library lets the grammar of a JSON schema end. */
const GRAMMAR_END = '\n\n\n\n';

const nameOf = (error: unknown) => (error instanceof Error ? error.name : typeof error);

async function loadModel(options: LoadOptions, progress: (fraction: number) => void): Promise<Loaded> {
  const { path, contextLength } = options.model;
  const library = await import('node-llama-cpp');
  let lastWords = '';
  const llama = await library.getLlama({
    gpu: options.gpuLayers === 0 ? false : 'auto',
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: library.LlamaLogLevel.error,
    logger: (_level, message) => {
      lastWords ||= message.trim();
    },
  });
  try {
    const threads = options.threads || Math.max(1, Math.min(llama.cpuMathCores, availableParallelism() - 1));
    llama.maxThreads = threads;
    const model = await llama.loadModel({
      modelPath: path,
      gpuLayers: options.gpuLayers,
      onLoadProgress: (done) => progress(done * 0.9),
    });
    const prefillChunk = model.gpuLayers > 0 ? PREFILL_CHUNK_GPU : PREFILL_CHUNK_CPU;
    const context = await model.createContext({
      sequences: options.slots,
      contextSize: Math.min(model.trainContextSize, contextLength || model.trainContextSize),
      batchSize: prefillChunk + options.slots,
      threads,
      // On the CPU it takes more time than it saves: 15 to 25 % of the bundled model's tokens.
      flashAttention: model.gpuLayers > 0 ? 'auto' : false,
    });
    const wrapper = library.resolveChatWrapper(model, { warningLogs: false });
    return { library, llama, model, context, wrapper, longestToken: longestToken(model), prefillChunk, threads };
  } catch (error) {
    await llama.dispose();
    throw loadFault(library, path, lastWords, error);
  }
}

function loadFault(library: Library, path: string, lastWords: string, error: unknown): Fault {
  if (error instanceof library.InsufficientMemoryError) {
    return unusable(path, 'there is not enough memory; take fewer slots, a shorter context or a smaller model', error);
  }
  const words = lastWords || (error instanceof Error ? error.message : '');
  return unusable(
    path,
    `${words || 'the engine refused it'}; the file may be truncated or corrupt: check its digest, fetch it again`,
    error,
  );
}

/** In characters; a text of n characters has at least n / longest tokens. */
function longestToken(model: LlamaModel): number {
  const tokens = model.fileInfo.metadata.tokenizer?.ggml?.tokens ?? [];
  return tokens.reduce((longest, token) => Math.max(longest, token.length), 0) || Number.POSITIVE_INFINITY;
}

/** Over the vocabulary and all that decides how text becomes tokens, but not over the chat template. */
function tokenizerDigest(model: LlamaModel): string {
  const settings = Object.entries(model.fileInfo.metadata.tokenizer?.ggml ?? {});
  const hash = createHash('sha256');
  for (const [key, value] of settings.sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(JSON.stringify([key, value], (_, each) => (typeof each === 'bigint' ? String(each) : each)));
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Applies the chat template, once, and tokenizes; special tokens come from the template only, never from the text. */
function renderPrompt(loaded: Loaded, messages: readonly Message[]): Prompt | Failure {
  const { model, context, library, wrapper } = loaded;
  const room = context.contextSize - 1;
  const chars = messages.reduce((sum, message) => sum + message.text.length, 0);
  const atLeast = Math.ceil(chars / loaded.longestToken);
  // Tokenizing a megabyte takes a second in which nobody else is served.
  if (atLeast > room) return tooLong(`at least ${atLeast}`, room);

  const state = wrapper.generateContextState({ chatHistory: [...chatHistory(messages), { type: 'model', response: [''] }] });
  const values = [...state.contextText.values];
  const end = values.at(-1);
  // A template that only joins messages separates the empty answer to come with a blank, which belongs to no message.
  if (end instanceof library.SpecialTokensText && /^ +$/.test(end.value)) values.pop();
  const tokens = library.LlamaText(values).tokenize(model.tokenizer);
  const { bos, shouldPrependBosToken } = model.tokens;
  if (bos !== null && (shouldPrependBosToken || tokens.length === 0) && tokens[0] !== bos) tokens.unshift(bos);
  if (tokens.length > room) return tooLong(String(tokens.length), room);
  return { tokens, ...stopTriggers(loaded, state.stopGenerationTriggers) };
}

function tooLong(tokens: string, room: number): Failure {
  return failure('CONTEXT_TOO_LONG', `the prompt has ${tokens} tokens and the model takes ${room} at most`);
}

function chatHistory(messages: readonly Message[]): ChatHistoryItem[] {
  return messages.map(({ role, text }) => {
    const wellFormed = text.toWellFormed();
    if (role === Role.ROLE_SYSTEM) return { type: 'system', text: wellFormed };
    if (role === Role.ROLE_ASSISTANT) return { type: 'model', response: [wellFormed] };
    return { type: 'user', text: wellFormed };
  });
}

/** A trigger that begins with a special token is known by that token; the others are text. */
function stopTriggers({ model, library }: Loaded, triggers: readonly InstanceType<Library['LlamaText']>[]) {
  const stopTexts: string[] = [];
  const stopTokens = new Set<Token>();
  for (const trigger of triggers) {
    const parts = trigger.values.flatMap((value): (string | Token)[] => {
      if (typeof value === 'string') return [value];
      return value instanceof library.SpecialToken
        ? value.tokenize(model.tokenizer)
        : value.tokenizeSpecialTokensOnly(model.tokenizer);
    });
    const [first] = parts;
    if (typeof first === 'number') stopTokens.add(first);
    else if (parts.every((part) => typeof part === 'string') && parts.join('') !== '') stopTexts.push(parts.join(''));
  }
  return { stopTexts, stopTokens };
}

/** Below this part of the prompt a common beginning is not worth giving up another conversation's cache. */
const WORTH_REUSING = 0.25;

/** The free sequence whose KV cache already holds the most of the prompt; where none holds enough, the one free longest. */
function mostInCommon(free: ReadonlySet<LlamaContextSequence>, { prompt }: Work): LlamaContextSequence {
  let best: LlamaContextSequence | undefined;
  let most = prompt.tokens.length * WORTH_REUSING;
  for (const sequence of free) {
    best ??= sequence;
    const common = sequence.compareContextTokens(prompt.tokens).firstDifferentIndex;
    if (common > most) [best, most] = [sequence, common];
  }
  return best!;
}

/** Keeps what the sequence's KV cache has in common with the prompt. @returns how many tokens that are */
async function reuse(sequence: LlamaContextSequence, tokens: Token[]): Promise<number> {
  const { firstDifferentIndex } = sequence.compareContextTokens(tokens);
  // The last token is always evaluated: its logits give the first token of the answer.
  const keep = Math.min(firstDifferentIndex, tokens.length - 1);
  if (keep < sequence.nextTokenIndex) {
    await sequence.eraseContextTokenRanges([{ start: keep, end: sequence.nextTokenIndex }]);
  }
  // Models that cannot forget a part of their state forget all of it.
  return Math.min(keep, sequence.nextTokenIndex);
}

/** Evaluates all but the last chunk. @returns the last chunk, whose evaluation gives the first token */
async function prefill(loaded: Loaded, sequence: LlamaContextSequence, tokens: Token[], run: JobRun): Promise<Token[]> {
  let rest = tokens;
  while (rest.length > loaded.prefillChunk && !run.aborted) {
    await sequence.evaluateWithoutGeneratingNewTokens(rest.slice(0, loaded.prefillChunk));
    rest = rest.slice(loaded.prefillChunk);
  }
  if (run.paused) await run.released();
  return rest;
}

function evaluateOptions(
  { library, model }: Loaded,
  sampling: Sampling,
  generated: readonly Token[],
  grammar: LlamaGrammar | undefined,
): SequenceEvaluateOptions {
  const { temperature = 0, topP, topK, minP, repeatPenalty, frequencyPenalty, presencePenalty } = sampling;
  const penalized = repeatPenalty !== undefined || frequencyPenalty !== undefined || presencePenalty !== undefined;
  return {
    temperature,
    seed: sampling.seed ?? randomInt(2 ** 32),
    ...(topP === undefined ? {} : { topP }),
    ...(topK === undefined ? {} : { topK }),
    ...(minP === undefined ? {} : { minP }),
    ...(grammar ? { grammarEvaluationState: new library.LlamaGrammarEvaluationState({ model, grammar }) } : {}),
    ...(penalized
      ? {
          repeatPenalty: {
            punishTokens: () => generated.slice(-PENALTY_WINDOW),
            maxPunishTokens: PENALTY_WINDOW,
            penalty: repeatPenalty ?? DEFAULT_REPEAT_PENALTY,
            frequencyPenalty: frequencyPenalty ?? 0,
            presencePenalty: presencePenalty ?? 0,
          },
        }
      : {}),
  };
}

/** A slow machine is measured on fewer tokens. */
const LONGEST_MEASURE_MS = 800;

/** Warms up, then times a short prompt and a short answer on an idle engine. */
async function measure({ model }: Loaded, sequence: LlamaContextSequence) {
  const text = model.tokenize('The quick brown fox jumps over the lazy dog and runs through the quiet forest. '.repeat(8));
  const warm = await time(sequence, text.slice(0, 4), 4);
  const quick = warm.decode > 100;
  const prompt = text.slice(4, 4 + Math.min(quick ? 96 : 16, Math.floor(sequence.contextSize / 2)));
  const { prefill: prefillTokensPerSecond, decode: decodeTokensPerSecond } = await time(sequence, prompt, quick ? 64 : 8);
  return { prefillTokensPerSecond, decodeTokensPerSecond };
}

/** @returns tokens per second of reading `prompt` and of the `count` tokens after the first */
async function time(sequence: LlamaContextSequence, prompt: Token[], count: number) {
  await sequence.clearHistory();
  const start = performance.now();
  let first = start;
  let tokens = 0;
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    if (tokens++ === 0) first = performance.now();
    if (tokens > count || performance.now() - first > LONGEST_MEASURE_MS) break;
  }
  const end = performance.now();
  await sequence.clearHistory();
  return { prefill: (prompt.length * 1000) / (first - start), decode: ((tokens - 1) * 1000) / (end - first) };
}
