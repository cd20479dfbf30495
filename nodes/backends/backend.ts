/**
 * What an inference engine must do to serve in the mesh. One engine, one file beside this one; the pure mapping of
 * its chunks stands in a file of its own next to it. tests/contract/backend.ts is the suite that each must pass.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import type { FinishReason, Message, Price, Sampling, ServedModel, Tier, Usage } from '../../proto/gen/infermesh/v1/types.ts';

/** A model as the catalogue or the operator names it, with the weights on this machine. */
export interface ModelSpec {
  readonly name: string;
  /** Absolute path of the weights; empty for engines that keep their own. */
  readonly path: string;
  /** Absolute paths of what was fetched beside the weights, by its name: tokenizer.json. Absent: whatever lies beside them. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** sha256:HEX of the weights. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly tier: Tier;
  /** Empty: good for anything. */
  readonly tasks: readonly string[];
  readonly quantization: string;
  /** SPDX identifier. */
  readonly licence: string;
  /** Tokens; the engine may serve less, never more. */
  readonly contextLength: number;
  readonly price: Price;
}

export interface LoadOptions {
  readonly model: ModelSpec;
  /** Requests generated for at the same time. */
  readonly slots: number;
  /** Threads of the engine; 0 leaves the choice to the backend. */
  readonly threads: number;
  /** Layers on the GPU: 'auto' by free memory, 0 for CPU only. */
  readonly gpuLayers: number | 'auto';
  /** What the machine draws for the model while it generates; absent: the backend assumes something, see power.ts. */
  readonly watts?: number | undefined;
  /** Where the engine is a server that other people run. */
  readonly server?: ServerSpec | undefined;
  /** For the ollama backend. */
  readonly ollama?: OllamaOptions | undefined;
  /** For the llama-cpp backend, which takes it that they fit; the model's digest is that of both together. */
  readonly adapters?: readonly Adapter[] | undefined;
}

/** A LoRA adapter. */
export interface Adapter {
  /** Absolute. */
  readonly path: string;
  /** How much of it is added: 0 nothing, 1 as it was made. */
  readonly scale: number;
}

/** A server with the API of OpenAI. */
export interface ServerSpec {
  /** Up to the API's version, without a slash behind it: http://127.0.0.1:8000/v1 */
  readonly url: string;
  /** What the server calls the model. */
  readonly model: string;
  /** The file, or the variable of the environment, that holds the API key. The key itself never stands here. */
  readonly keyFile?: string | undefined;
  readonly keyEnv?: string | undefined;
  /** Whether it goes on, and charges, after a request was given up. */
  readonly billsAfterDisconnect?: boolean | undefined;
}

export interface OllamaOptions {
  /** Such as http://127.0.0.1:11434. */
  readonly url: string;
  /** What Ollama calls the model, such as qwen2.5:0.5b. */
  readonly model: string;
  /** How long it keeps the model in memory after a request, as Ollama reads it: 30m, 3600, or -1 for ever. */
  readonly keepAlive: string;
}

/** One request for one answer. */
export interface Job {
  readonly messages: readonly Message[];
  readonly sampling: Sampling;
  /** 1 and more; the context may end the answer sooner. */
  readonly maxTokens: number;
  readonly stop: readonly string[];
  /** A JSON Schema as text; empty for free text. */
  readonly jsonSchema: string;
  /**
   * The beginning of the answer, which another engine gave: it is read behind the rendered prompt, and the answer goes on
   * behind it. Positions, `maxTokens` and usage count the whole answer.
   */
  readonly delivered?: Delivered | undefined;
  /** Only to see whether the engine gives a token: no conversation's cache is to be lost for it. */
  readonly canary?: boolean | undefined;
}

export interface Delivered {
  readonly tokens: number;
  /** Ends with a whole character. */
  readonly text: string;
  /** As many as `tokens`, or none where the engine did not tell them. */
  readonly tokenIds: readonly number[];
}

/** Milliseconds by a monotonic clock. */
export interface Timings {
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

export type Outcome =
  | { readonly type: 'finish'; readonly reason: FinishReason; readonly usage: Usage }
  | {
      readonly type: 'failure';
      readonly reason: Reason;
      /** Never the user's text. */
      readonly message: string;
      /** When a server outside is to be asked again, in milliseconds: it said so, or is not there. */
      readonly retryAfterMs?: number | undefined;
    };

/** What became of texts: a vector of length 1 for each, in their order, or a failure. */
export type Embedding =
  | { readonly type: 'vectors'; readonly vectors: readonly Float32Array[]; readonly inputTokens: number }
  | Extract<Outcome, { type: 'failure' }>;

/** Takes what a job gives. Called in order: prefilling once, deltas, end exactly once and last. */
export interface Sink {
  /**
   * The job left the engine's queue and its prompt is being read: busy, not stuck.
   * @param slot from 0; until its next job the slot's KV cache holds what this one reads and answers
   */
  prefilling(slot: number): void;
  /**
   * Whole code points of one or more tokens. `seq` is the position of the first; pieces follow each other without a gap.
   * @param tokenIds as many as `tokens`, or none where the engine does not tell them
   */
  delta(seq: number, tokens: number, text: string, tokenIds?: readonly number[]): void;
  /**
   * The engine has stopped working on the job and its slot is free. `tokens` is the whole answer's: given by this job,
   * sent or held back, and delivered before it.
   */
  end(outcome: Outcome, tokens: number, timings: Timings): void;
}

/** A job at work. Every call is allowed at any time, also after the end, when it does nothing. */
export interface Run {
  /** Stops the engine after the token being computed; the sink then gets a failure CANCELLED. */
  cancel(): void;
  /** Holds the job after the token being computed, without giving up its slot. */
  pause(): void;
  resume(): void;
}

/** What a backend holds now, for reports. */
export interface Load {
  readonly running: number;
  readonly queued: number;
  readonly queuedPromptTokens: number;
  /** 0 to 1. */
  readonly kvCacheUse: number;
  /** Slots that can be used now, where they are fewer than the model has: a server has set a limit for a while. */
  readonly usableSlots?: number | undefined;
}

export interface Backend {
  /**
   * Brings the weights into memory, warms up and measures.
   * @param progress called with 0 to 1 while loading
   * @throws Fault ENGINE_FAILED with a message that says what to do: file missing, truncated, not enough memory
   */
  load(options: LoadOptions, progress: (fraction: number) => void): Promise<ServedModel>;
  /** Starts at once or queues behind the slots; never throws, failures end the sink. */
  generate(job: Job, sink: Sink): Run;
  /**
   * Makes vectors; absent where the engine cannot. Never rejects.
   * @param texts 1 to 64; each is cut where the model's context ends
   * @param signal aborted: no text more is read, and it ends with CANCELLED
   */
  embed?(texts: readonly string[], signal: AbortSignal): Promise<Embedding>;
  currentLoad(): Load;
  /**
   * For a backend whose engine is a server outside of this process: calls back once, when that server is lost. By then
   * every sink has its end, and nothing more comes of this backend.
   */
  onLost?(listener: (message: string) => void): void;
  /** Ends what runs (each sink gets its end) and frees the weights. */
  dispose(): Promise<void>;
}
