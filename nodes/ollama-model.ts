/** A model that an Ollama has: what the catalogue and the operator say of it. The rest Ollama tells. */
import { Fault } from '../proto/contract/faults.ts';
import { isLoopback } from '../proto/contract/settings.ts';
import { Tier } from '../proto/gen/infermesh/v1/types.ts';
import type { ModelSpec, OllamaOptions } from './backends/backend.ts';
import type { ModelSettings } from './model-settings.ts';
import { modelElsewhere } from './remote-model.ts';

type OllamaSettings = Pick<
  ModelSettings,
  'model' | 'ollamaUrl' | 'ollamaModel' | 'ollamaContext' | 'ollamaKeepAlive' | 'allowPlaintext'
>;

export function ollamaSpec({ model, ollamaContext }: OllamaSettings): ModelSpec {
  const spec = modelElsewhere(model, { tier: Tier.TIER_FAST, contextLength: ollamaContext });
  return { ...spec, contextLength: Math.min(ollamaContext, spec.contextLength) };
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
