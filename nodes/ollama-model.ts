/** A model that an Ollama has: what the catalogue and the operator say of it. The rest Ollama tells. */
import { Fault } from '../proto/contract/faults.ts';
import { isLoopback } from '../proto/contract/settings.ts';
import { Tier } from '../proto/gen/infermesh/v1/types.ts';
import type { ModelSpec, OllamaOptions } from './backends/backend.ts';
import { loadCatalogue } from './models/catalogue.ts';
import type { NodeSettings } from './settings.ts';

type OllamaSettings = Pick<
  NodeSettings,
  'model' | 'ollamaUrl' | 'ollamaModel' | 'ollamaContext' | 'ollamaKeepAlive' | 'allowPlaintext'
>;

export function ollamaSpec({ model, ollamaContext }: OllamaSettings): ModelSpec {
  const entry = loadCatalogue(process.env.INFERMESH_CATALOGUE).models.get(model);
  const { input_usd_per_million = 0, output_usd_per_million = 0 } = entry?.price ?? {};
  return {
    name: model,
    path: '',
    digest: '',
    sizeBytes: 0,
    tier: entry?.tier ?? Tier.TIER_FAST,
    tasks: entry?.tasks ?? [],
    quantization: '',
    licence: entry?.licence ?? '',
    contextLength: Math.min(ollamaContext, entry?.context_length ?? ollamaContext),
    price: { inputUsdPerMillion: input_usd_per_million, outputUsdPerMillion: output_usd_per_million },
  };
}

export function ollamaOptions({ model, ollamaUrl, ollamaModel, ollamaKeepAlive }: OllamaSettings): OllamaOptions {
  return { url: ollamaUrl.replace(/\/+$/, ''), model: ollamaModel ?? model, keepAlive: ollamaKeepAlive };
}

/** @throws Fault INVALID_REQUEST where prompts would cross a network in the clear */
export function checkOllama({ ollamaUrl, allowPlaintext }: OllamaSettings): void {
  const { protocol, host, hostname } = new URL(ollamaUrl);
  if (protocol === 'https:' || allowPlaintext || isLoopback(`${hostname}:0`)) return;
  const why = `--ollama-url http://${host} would show prompts to the network`;
  throw new Fault('INVALID_REQUEST', `${why}: give an https:// URL, or --allow-plaintext on a network you trust`);
}

/** Parts between slashes, as in hf.co/USER/MODEL:TAG; none of them may mean another place. */
export function isOllamaModel(name: string): boolean {
  return (
    name.length <= 256 && /^[A-Za-z0-9][A-Za-z0-9._-]*(?:[:/][A-Za-z0-9][A-Za-z0-9._-]*)*$/.test(name) && !name.includes('..')
  );
}
