/** The client library of infermesh: docs/client.md shows it at work. */
export { Fault, type Reason, type Violation } from '../proto/contract/faults.ts';
export type {
  CacheLayerStats,
  GetCacheStatsResponse,
  GetStatsResponse,
  Node,
  RedisStats,
} from '../proto/gen/infermesh/v1/admin.ts';
export { CacheLayer, RedisState } from '../proto/gen/infermesh/v1/admin.ts';
export type { Cached, Candidate, Decision, ExplainResponse, Objectives } from '../proto/gen/infermesh/v1/inference.ts';
export { CacheSource } from '../proto/gen/infermesh/v1/inference.ts';
export { Complexity, FinishReason, ModelState, NodeState, PressureLevel, Tier } from '../proto/gen/infermesh/v1/types.ts';
export type { BatchOptions } from './batch.ts';
export type { BatchItem, BatchOutcome } from './batch-items.ts';
export type { Embeddings, EmbedInput } from './embed.ts';
export type { Answer, ChatEvent } from './events.ts';
export type { EvidenceChunk, FoundEvidence } from './evidence.ts';
export {
  type CallOptions,
  type ConnectOptions,
  connect,
  type EmbedOptions,
  Mesh,
  type Purge,
  type Ratings,
} from './mesh.ts';
export type { ControlOptions, LoadOptions, ModelStep, SwapOptions, UnloadOptions } from './models.ts';
export type { CacheInput, ChatInput, ChatMessage } from './request.ts';
