/** Names of the protocol's enumerations as people and JSON readers see them. */
import {
  CacheLayer,
  CacheSource,
  Complexity,
  FinishReason,
  ModelState,
  NodeState,
  PressureLevel,
  RedisState,
  Tier,
} from '../../client/index.ts';

export const cacheLayerName = (value: CacheLayer) => nameIn(CacheLayer, 'CACHE_LAYER_', value);
export const cacheSourceName = (value: CacheSource) => nameIn(CacheSource, 'CACHE_SOURCE_', value);
export const complexityName = (value: Complexity) => nameIn(Complexity, 'COMPLEXITY_', value);
export const finishReasonName = (value: FinishReason) => nameIn(FinishReason, 'FINISH_REASON_', value);
export const modelStateName = (value: ModelState) => nameIn(ModelState, 'MODEL_STATE_', value);
export const nodeStateName = (value: NodeState) => nameIn(NodeState, 'NODE_STATE_', value);
export const pressureLevelName = (value: PressureLevel) => nameIn(PressureLevel, 'PRESSURE_LEVEL_', value);
export const redisStateName = (value: RedisState) => nameIn(RedisState, 'REDIS_STATE_', value);
export const tierName = (value: Tier) => nameIn(Tier, 'TIER_', value);

function nameIn(values: Readonly<Record<string, number>>, prefix: string, value: number): string {
  const name = Object.keys(values).find((key) => values[key] === value);
  return name === undefined ? String(value) : name.slice(prefix.length).toLowerCase();
}
