/** From the facts that events carry to the attributes that spans carry; all of them pure. */
import type { Attributes, Span } from '@opentelemetry/api';
import { SpanStatusCode } from '@opentelemetry/api';
import type { Reason } from '../proto/contract/faults.ts';
import { Code } from '../proto/contract/faults.ts';
import type { Usage } from '../proto/gen/infermesh/v1/types.ts';
import { FinishReason, Role } from '../proto/gen/infermesh/v1/types.ts';
import type { EngineTimings, Outcome, RequestEvent, SamplingFacts, Weights } from './events.ts';
import { ATTR } from './names.ts';

/** The conventions ask for the operation by name; the RPC's own name stands beside it. */
const OPERATIONS: Readonly<Record<string, string>> = { Chat: 'chat', Embed: 'embeddings' };

const CODE_NAMES = new Map<number, string>(Object.entries(Code).map(([name, code]) => [code, name]));

const FINISH_REASONS: Readonly<Record<number, string>> = {
  [FinishReason.FINISH_REASON_STOP]: 'stop',
  [FinishReason.FINISH_REASON_STOP_STRING]: 'stop',
  [FinishReason.FINISH_REASON_LENGTH]: 'length',
};

/** A span shows this many of a decision's exclusions and counts the rest. */
const MAX_EXCLUSIONS = 32;

/** @param method infermesh.v1.InferenceService/Chat */
export function callAttributes(method: string): Attributes {
  const operation = OPERATIONS[method.slice(method.indexOf('/') + 1)];
  return defined({
    [ATTR.rpcSystem]: 'grpc',
    [ATTR.rpcMethod]: method,
    [ATTR.operation]: operation,
    [ATTR.provider]: operation === undefined ? undefined : 'infermesh',
    [ATTR.stream]: operation === 'chat' ? true : undefined,
  });
}

export function samplingAttributes(sampling: SamplingFacts): Attributes {
  return defined({
    [ATTR.maxTokens]: sampling.maxTokens,
    [ATTR.temperature]: sampling.temperature,
    [ATTR.topP]: sampling.topP,
    [ATTR.topK]: sampling.topK,
    [ATTR.seed]: sampling.seed,
  });
}

export function classificationAttributes(classified: Extract<RequestEvent, { type: 'classified' }>): Attributes {
  const { task, complexity, domain, language, followUp } = classified;
  return {
    [ATTR.task]: task,
    [ATTR.complexity]: complexity,
    [ATTR.domain]: domain,
    [ATTR.language]: language,
    [ATTR.followUp]: followUp,
  };
}

export function decisionAttributes(decision: Extract<RequestEvent, { type: 'decided' }>): Attributes {
  const exclusions = decision.excluded
    .slice(0, MAX_EXCLUSIONS)
    .map(({ node, model, reason }) => `${model} on ${node}: ${reason}`);
  return defined({
    [ATTR.node]: decision.node,
    [ATTR.requestModel]: decision.model,
    [ATTR.decisionReason]: decision.reason,
    [ATTR.decisionConsidered]: decision.considered,
    [ATTR.decisionExcluded]: decision.excluded.length,
    [ATTR.decisionExclusions]: exclusions.length === 0 ? undefined : exclusions,
    [ATTR.expectedWaitMs]: decision.expectedWaitMs,
    [ATTR.expectedFirstTokenMs]: decision.expectedFirstTokenMs,
    [ATTR.policy]: decision.policy,
    [ATTR.preference]: decision.preference && weightsOf(decision.preference),
    [ATTR.propensity]: decision.propensity,
    [ATTR.explored]: decision.explored,
    [ATTR.expectedQuality]: decision.objectives?.quality,
    [ATTR.expectedQualitySd]: decision.objectives?.qualitySd,
    [ATTR.expectedCostUsd]: decision.objectives?.costUsd,
    [ATTR.expectedLatencyMs]: decision.objectives?.latencyMs,
    [ATTR.diversity]: decision.objectives?.diversity,
  });
}

/** cost=0.25, quality=0.50 and so on. */
function weightsOf(weights: Weights): string[] {
  return Object.entries(weights).map(([name, weight]) => `${name}=${(weight as number).toFixed(2)}`);
}

/** What the end of an attempt and of a whole request have in common. */
export interface End {
  readonly outcome: Outcome;
  readonly reason?: Reason;
  readonly finishReason?: FinishReason;
  readonly tokens?: number;
  readonly usage?: Usage;
}

export function endAttributes(end: End): Attributes {
  const finish = end.finishReason === undefined ? undefined : FINISH_REASONS[end.finishReason];
  return defined({
    [ATTR.outcome]: end.outcome,
    [ATTR.errorType]: end.reason,
    [ATTR.finishReasons]: finish === undefined ? undefined : [finish],
    [ATTR.tokens]: end.tokens,
    [ATTR.inputTokens]: end.usage?.inputTokens,
    [ATTR.cachedInputTokens]: end.usage?.cachedInputTokens,
    [ATTR.outputTokens]: end.usage?.outputTokens,
  });
}

export function timingAttributes(timings: EngineTimings | undefined): Attributes {
  return defined({
    [ATTR.queueMs]: timings?.queueMs,
    [ATTR.prefillMs]: timings?.prefillMs,
    [ATTR.decodeMs]: timings?.decodeMs,
  });
}

export function reusedAttributes(reused: Extract<RequestEvent, { type: 'reused' }>): Attributes {
  return {
    [ATTR.node]: reused.node,
    [ATTR.responseModel]: reused.model,
    [ATTR.cacheSource]: reused.source,
    [ATTR.cacheAgeMs]: reused.ageMs,
    [ATTR.savedUsd]: reused.savedUsd,
  };
}

export function codeName(code: number): string {
  return CODE_NAMES.get(code) ?? String(code);
}

/** The reason is a word of ours; a fault's message stays out of the span. */
export function markFailed(span: Span, reason: Reason | undefined): void {
  span.setStatus(reason === undefined ? { code: SpanStatusCode.ERROR } : { code: SpanStatusCode.ERROR, message: reason });
}

function defined(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

const ROLE_NAMES: Readonly<Record<number, string>> = { [Role.ROLE_SYSTEM]: 'system', [Role.ROLE_ASSISTANT]: 'assistant' };

/** Messages as JSON, in the form that the GenAI conventions give them. */
export function contentAttributes({ input, output }: Extract<RequestEvent, { type: 'content' }>): Attributes {
  const message = (role: string, content: string) => ({ role, parts: [{ type: 'text', content }] });
  return {
    [ATTR.inputMessages]: JSON.stringify(input.map(({ role, text }) => message(ROLE_NAMES[role] ?? 'user', text))),
    [ATTR.outputMessages]: JSON.stringify([message('assistant', output)]),
  };
}
