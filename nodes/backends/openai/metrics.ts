/** What vLLM tells of its load at /metrics (https://docs.vllm.ai/en/stable/usage/metrics.html). Pure. */

export interface ServerLoad {
  /** Requests of everybody that the server has not begun with. */
  readonly waiting: number;
  /** 0 to 1. */
  readonly kvCacheUse: number;
}

const WAITING = 'vllm:num_requests_waiting';
/** The newer name, and the one before vLLM 0.10. */
const KV_CACHE_USE = ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc'];

/** @param text in Prometheus' format; with several engines their figures are added up, and the fullest cache counts */
export function readMetrics(text: string): ServerLoad | undefined {
  const waiting = valuesOf(text, WAITING);
  const uses = KV_CACHE_USE.map((name) => valuesOf(text, name)).find((values) => values.length > 0) ?? [];
  if (waiting.length === 0 && uses.length === 0) return undefined;
  const sum = waiting.reduce((total, value) => total + Math.max(0, value), 0);
  return { waiting: Math.round(sum), kvCacheUse: Math.min(1, Math.max(0, ...uses)) };
}

function valuesOf(text: string, name: string): number[] {
  const values: number[] = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length).replace(/^\{[^}]*\}/, '');
    const value = /^\s+(\S+)/.exec(rest)?.[1];
    if (value !== undefined && Number.isFinite(Number(value))) values.push(Number(value));
  }
  return values;
}
