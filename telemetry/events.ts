/**
 * What the core tells. The router's journey, the node's agent and the fleet emit these events and know nothing of
 * spans, logs or metrics; observers at the edge make those of them. Types only.
 *
 * No event but `content` has a field for what a user wrote: no prompt, answer, stop string, label, session or
 * idempotency key; and `content` is told only to an observer that the operator has asked to keep it. A model is named
 * only once the mesh itself knows it, so a name a client made up stays out as well.
 *
 * The time of an event is when it is told, so tell it when it happens. Durations are in milliseconds.
 */
import type { Code, Reason } from '../proto/contract/faults.ts';
import type { FinishReason, Message, Usage } from '../proto/gen/infermesh/v1/types.ts';

export type Outcome = 'finished' | 'failed' | 'cancelled';

/** What is known of a request when it arrives. */
export interface RequestFacts {
  /** The router's own id for it. */
  readonly requestId: string;
  /** Full name of the RPC: infermesh.v1.InferenceService/Chat. */
  readonly method: string;
  /** W3C trace context as the client sent it, valid or not. */
  readonly traceparent?: string;
  /** From the credential, never from the request. */
  readonly tenant?: string;
}

/** The numbers of a request that say how the answer is drawn. */
export interface SamplingFacts {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly seed?: number;
}

/** A candidate that a choice ruled out, with the rule that did it. */
export interface Exclusion {
  readonly node: string;
  readonly model: string;
  readonly reason: string;
}

/** Of the four objectives; the sum is 1. */
export interface Weights {
  readonly cost: number;
  readonly quality: number;
  readonly latency: number;
  readonly diversity: number;
}

/** Units as in the .proto's Objectives. */
export interface ObjectiveFacts {
  readonly quality: number;
  readonly qualitySd: number;
  readonly costUsd: number;
  readonly latencyMs: number;
  readonly diversity: number;
}

/**
 * One request in the router, in this order:
 *
 *   searched* accepted? classified? ( waiting | decided | attempt_started first_token? attempt_ended | migrated )* reused? content? ended
 *
 * `ended` comes exactly once and last. Attempts may overlap; `epoch` tells them apart.
 */
export type RequestEvent =
  /** The request is within its bounds. `target` is how it asks for a model, not which. */
  | { readonly type: 'accepted'; readonly target: 'auto' | 'model' | 'tier'; readonly sampling: SamplingFacts }
  | {
      readonly type: 'classified';
      readonly task: string;
      readonly complexity: string;
      readonly domain: string;
      /** ISO 639-1, or und. */
      readonly language: string;
      /** It took its complexity from the conversation. */
      readonly followUp: boolean;
    }
  /** An answer was looked for elsewhere than in memory, since the event before. */
  | {
      readonly type: 'searched';
      /** In Redis, by waiting for another router, or among the answers to other prompts. */
      readonly where: 'redis' | 'other_router' | 'semantic';
      readonly found: boolean;
    }
  /** It gets an answer that was not generated for it: `shared` was while it waited, `semantic` for another prompt. */
  | {
      readonly type: 'reused';
      readonly source: 'memory' | 'redis' | 'shared' | 'semantic';
      readonly node: string;
      readonly model: string;
      readonly ageMs: number;
      /** What generating it had cost. */
      readonly savedUsd: number;
    }
  /** No slot is free; lasts until the next event. `model` is absent while several would do. */
  | { readonly type: 'waiting'; readonly model?: string }
  | {
      readonly type: 'decided';
      readonly node: string;
      readonly model: string;
      /** One sentence for people. */
      readonly reason: string;
      /** Candidates looked at, those ruled out included. */
      readonly considered: number;
      readonly excluded: readonly Exclusion[];
      readonly expectedWaitMs?: number;
      readonly expectedFirstTokenMs?: number;
      /** Name of the policy that applied, and what weighed how much. */
      readonly policy?: string;
      readonly preference?: Weights;
      /** With which the model was chosen, before the draw. */
      readonly propensity?: number;
      /** Another model than the one believed best was drawn. */
      readonly explored?: boolean;
      /** What is expected of the chosen one. */
      readonly objectives?: ObjectiveFacts;
    }
  | { readonly type: 'attempt_started'; readonly epoch: number; readonly node: string; readonly model: string }
  /** The first piece of the answer reached the router. */
  | { readonly type: 'first_token'; readonly epoch: number }
  | {
      readonly type: 'attempt_ended';
      readonly epoch: number;
      readonly outcome: Outcome;
      /** Absent when finished. */
      readonly reason?: Reason;
      readonly finishReason?: FinishReason;
      /** Given by the engine, delivered or not. */
      readonly tokens: number;
      readonly usage?: Usage;
      /** Absent when the node was lost before it could say. */
      readonly timings?: EngineTimings;
    }
  /** The answer, of which so many tokens were delivered, goes on at another node; `reason` is what befell the one before. */
  | {
      readonly type: 'migrated';
      readonly node: string;
      readonly model: string;
      readonly reason: Reason;
      readonly tokens: number;
    }
  /** What was asked and what was answered so far; told only where `wantsContent`. */
  | { readonly type: 'content'; readonly input: readonly Message[]; readonly output: string }
  | {
      readonly type: 'ended';
      readonly outcome: Outcome;
      /** The status the client got. */
      readonly code: Code;
      /** Absent when finished. */
      readonly reason?: Reason;
      readonly finishReason?: FinishReason;
      /** Tokens delivered to the client. */
      readonly tokens: number;
      readonly usage?: Usage;
      readonly costUsd?: number;
      /** How often the stream moved to another node. */
      readonly migrations: number;
    };

/** By the node's monotonic clock. */
export interface EngineTimings {
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Follows one request. No method throws. */
export interface RequestWatch {
  /** Whether to tell `content`. */
  readonly wantsContent: boolean;
  tell(event: RequestEvent): void;
  /**
   * W3C trace context to send along: of the attempt that started last and is still open, else of the request. A
   * valid one from the client when nothing traces here; empty when there is none of either.
   */
  traceparent(): string;
  /** 32 hex digits, or empty. */
  traceId(): string;
}

export interface RequestObserver {
  watch(request: RequestFacts): RequestWatch;
}

/** One attempt as its node sees it. */
export interface WorkFacts {
  readonly node: string;
  readonly model: string;
  /** The router's number for the request on the link. */
  readonly request: number;
  readonly epoch: number;
  /** From the frame; empty when nothing traces. */
  readonly traceparent: string;
  /** Absent: chat. */
  readonly operation?: 'embeddings';
}

/** One attempt on its node: prefilling? first_token? ended; `ended` exactly once and last. */
export type WorkEvent =
  | { readonly type: 'prefilling' }
  | { readonly type: 'first_token' }
  | {
      readonly type: 'ended';
      readonly outcome: Outcome;
      /** Absent when finished. */
      readonly reason?: Reason;
      readonly finishReason?: FinishReason;
      readonly tokens: number;
      readonly usage?: Usage;
      readonly timings: EngineTimings;
    };

/** Follows one attempt. Never throws. */
export interface WorkWatch {
  tell(event: WorkEvent): void;
}

export interface WorkObserver {
  watch(work: WorkFacts): WorkWatch;
}

/** What happens to the fleet, as one router sees it. */
export type FleetEvent =
  | { readonly type: 'node_joined'; readonly node: string; readonly epoch: number; readonly models: readonly string[] }
  /** A node's list of models is not what it was. */
  | { readonly type: 'models_changed'; readonly node: string; readonly models: readonly string[] }
  | { readonly type: 'node_suspect'; readonly node: string; readonly silentMs: number }
  /** A suspect reported again. */
  | { readonly type: 'node_recovered'; readonly node: string; readonly silentMs: number }
  | { readonly type: 'node_draining'; readonly node: string }
  /** `lost` counts the attempts that ended with it. */
  | {
      readonly type: 'node_left';
      readonly node: string;
      readonly reason: 'goodbye' | 'disconnected' | 'expired' | 'fenced' | 'protocol_error';
      readonly lost: number;
    }
  /** `epoch` was sent away because `newestEpoch` is there. */
  | { readonly type: 'node_fenced'; readonly node: string; readonly epoch: number; readonly newestEpoch: number }
  /** Too many failures: no work goes there for `openMs`. Without `model` it is the node as a whole. */
  | {
      readonly type: 'breaker_opened';
      readonly node: string;
      readonly model?: string;
      readonly why: 'failures_in_a_row' | 'low_success' | 'probe_failed';
      readonly openMs: number;
    }
  /** One request may show whether it is well again. */
  | { readonly type: 'breaker_half_open'; readonly node: string; readonly model?: string }
  /** `forgotten` with a node that stayed away, or came back as a new process. */
  | {
      readonly type: 'breaker_closed';
      readonly node: string;
      readonly model?: string;
      readonly why: 'succeeded' | 'forgotten';
    }
  /** It reports that it serves, and gave no token to a canary for `silentMs`. */
  | { readonly type: 'node_wedged'; readonly node: string; readonly model: string; readonly silentMs: number }
  /** A wedged one gave a token. */
  | { readonly type: 'node_unwedged'; readonly node: string; readonly model: string }
  /** Requests wait for a model that is not in memory there; it was told to load it. */
  | { readonly type: 'model_wanted'; readonly node: string; readonly model: string; readonly waiting: number }
  /** It is there, so long after it was wanted. */
  | { readonly type: 'model_came'; readonly node: string; readonly model: string; readonly ms: number }
  /** The node could not load it, and is not asked again for `restMs`. */
  | {
      readonly type: 'model_not_loaded';
      readonly node: string;
      readonly model: string;
      readonly reason: Reason;
      readonly restMs: number;
    }
  /** It came back `returns` times within a minute and is chosen no more for `heldMs`. */
  | { readonly type: 'node_damped'; readonly node: string; readonly returns: number; readonly heldMs: number }
  /** A node said something that can't be; `field` as in the .proto, numbers as they came. */
  | {
      readonly type: 'claim_clamped';
      readonly node: string;
      readonly field: string;
      readonly received: number;
      readonly used: number;
    }
  /** Another router of the mesh shares what it knows; `router` is its id. */
  | { readonly type: 'router_seen'; readonly router: string }
  /** It left, or was silent for long. What it has contributed stays. */
  | { readonly type: 'router_gone'; readonly router: string }
  /** `peer` is the address it came from; a name it gave itself proves nothing and is left out. */
  | { readonly type: 'join_refused'; readonly peer: string; readonly reason: Reason };

/** What happens to a node, as it sees itself. `router` is the address it was told. */
export type NodeEvent =
  | { readonly type: 'router_connected'; readonly router: string; readonly routerId: string }
  | { readonly type: 'router_lost'; readonly router: string; readonly reason: Reason; readonly retryInMs: number }
  /** The router will not have this node, and trying again is no use or is up to the operator. */
  | { readonly type: 'router_refused'; readonly router: string; readonly reason: Reason }
  | { readonly type: 'model_loading'; readonly model: string }
  | {
      readonly type: 'engine_ready';
      readonly model: string;
      /** With its version, and where it computes if it tells that: onnx 1.30.0 cpu. */
      readonly engine: string;
      readonly slots: number;
      readonly prefillTokensPerSecond: number;
      readonly decodeTokensPerSecond: number;
      /** How long bringing it into memory took, warming up included. */
      readonly loadMs: number;
      /** Of this machine; 0 with a server outside. */
      readonly memoryBytes: number;
    }
  /** It stays out of memory; `message` is never user text. */
  | { readonly type: 'model_load_failed'; readonly model: string; readonly reason: Reason; readonly message: string }
  /** It takes no work any more and leaves memory once what it has is over: an operator or the pressure asked, another took over, or it made room. */
  | {
      readonly type: 'model_unloading';
      readonly model: string;
      readonly why: 'asked' | 'swapped' | 'room';
      readonly inFlight: number;
    }
  | { readonly type: 'model_unloaded'; readonly model: string; readonly freedBytes: number }
  /** `message` names a signal, an exit code or the engine's last words; never user text. */
  | { readonly type: 'engine_crashed'; readonly model: string; readonly message: string; readonly restartInMs: number }
  /** What the operator should know of the engine, once; never user text. */
  | { readonly type: 'engine_warned'; readonly model: string; readonly message: string }
  /** Memory is short, and the node gives something up for it; of several idle models each is a step. */
  | {
      readonly type: 'pressure_step';
      readonly step: 'unload' | 'smaller-tier' | 'shed';
      /** With the step. */
      readonly level: 'none' | 'high' | 'critical';
      readonly usedBytes: number;
      readonly limitBytes: number;
      /** The one that is unloaded. */
      readonly model?: string | undefined;
    }
  /** Memory is there again, and with it what the step had taken. */
  | {
      readonly type: 'pressure_step_back';
      readonly step: 'unload' | 'smaller-tier' | 'shed';
      readonly level: 'none' | 'high' | 'critical';
      readonly usedBytes: number;
      readonly limitBytes: number;
    }
  | { readonly type: 'draining'; readonly inFlight: number }
  | { readonly type: 'stopped' };

/** Takes what a fleet or a node tells. Never throws. */
export type Tell<Event> = (event: Event) => void;
