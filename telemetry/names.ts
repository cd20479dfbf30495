/**
 * Every name that appears in a trace. docs/telemetry.md says what each means, and a test holds the two to each other.
 *
 * The gen_ai.* and rpc.* names are OpenTelemetry's semantic conventions, which still move; nothing else in the
 * code spells one. What the conventions have no name for begins with infermesh.
 */

/** The instrumentation scope of all our spans. */
export const SCOPE = 'infermesh';

/** Spans named by us; the spans of a call, on both its ends, are named after its RPC. */
export const SPAN = {
  cache: 'infermesh.cache',
  queue: 'infermesh.queue',
  choose: 'infermesh.choose',
  attempt: 'infermesh.attempt',
  work: 'infermesh.work',
  engineQueue: 'engine.queue',
  enginePrefill: 'engine.prefill',
  engineDecode: 'engine.decode',
} as const;

export const SPAN_EVENT = {
  firstToken: 'infermesh.first_token',
  failover: 'infermesh.failover',
  /** On the request: its answer goes on at another node. */
  migrated: 'infermesh.migrated',
} as const;

export const ATTR = {
  rpcSystem: 'rpc.system.name',
  rpcMethod: 'rpc.method',
  rpcStatus: 'rpc.status_code',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  errorType: 'error.type',

  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  stream: 'gen_ai.request.stream',
  requestModel: 'gen_ai.request.model',
  maxTokens: 'gen_ai.request.max_tokens',
  temperature: 'gen_ai.request.temperature',
  topP: 'gen_ai.request.top_p',
  topK: 'gen_ai.request.top_k',
  seed: 'gen_ai.request.seed',
  responseId: 'gen_ai.response.id',
  responseModel: 'gen_ai.response.model',
  finishReasons: 'gen_ai.response.finish_reasons',
  timeToFirstChunk: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  cachedInputTokens: 'gen_ai.usage.cache_read.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  inputMessages: 'gen_ai.input.messages',
  outputMessages: 'gen_ai.output.messages',

  outcome: 'infermesh.outcome',
  tenant: 'infermesh.tenant',
  target: 'infermesh.request.target',
  task: 'infermesh.request.task',
  complexity: 'infermesh.request.complexity',
  domain: 'infermesh.request.domain',
  language: 'infermesh.request.language',
  followUp: 'infermesh.request.follow_up',
  tokens: 'infermesh.tokens',
  costUsd: 'infermesh.cost_usd',
  migrations: 'infermesh.migrations',
  cacheWhere: 'infermesh.cache.where',
  cacheFound: 'infermesh.cache.found',
  cacheSource: 'infermesh.cache.source',
  cacheAgeMs: 'infermesh.cache.age_ms',
  savedUsd: 'infermesh.saved_usd',
  node: 'infermesh.node',
  epoch: 'infermesh.attempt.epoch',
  linkRequest: 'infermesh.link.request',
  decisionReason: 'infermesh.decision.reason',
  decisionConsidered: 'infermesh.decision.considered',
  decisionExcluded: 'infermesh.decision.excluded',
  decisionExclusions: 'infermesh.decision.exclusions',
  expectedWaitMs: 'infermesh.decision.expected_wait_ms',
  expectedFirstTokenMs: 'infermesh.decision.expected_first_token_ms',
  policy: 'infermesh.decision.policy',
  preference: 'infermesh.decision.preference',
  propensity: 'infermesh.decision.propensity',
  explored: 'infermesh.decision.explored',
  expectedQuality: 'infermesh.decision.quality',
  expectedQualitySd: 'infermesh.decision.quality_sd',
  expectedCostUsd: 'infermesh.decision.cost_usd',
  expectedLatencyMs: 'infermesh.decision.latency_ms',
  diversity: 'infermesh.decision.diversity',
  queueMs: 'infermesh.engine.queue_ms',
  prefillMs: 'infermesh.engine.prefill_ms',
  decodeMs: 'infermesh.engine.decode_ms',
} as const;
