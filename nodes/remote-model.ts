/** A model that a server with the API of OpenAI has: what the catalogue and the operator say of it. */
import { isLoopback } from '../proto/contract/settings.ts';
import { Tier } from '../proto/gen/infermesh/v1/types.ts';
import type { ModelSpec, ServerSpec } from './backends/backend.ts';
import type { ModelSettings } from './model-settings.ts';
import { loadCatalogue } from './models/catalogue.ts';

type RemoteSettings = Pick<
  ModelSettings,
  'model' | 'openaiUrl' | 'openaiModel' | 'openaiKeyFile' | 'openaiKeyEnv' | 'billsAfterDisconnect'
>;

/** Of a model that nobody has told more of; a server may know better. */
const UNKNOWN_CONTEXT = 131_072;

export function remoteModel({ model, openaiUrl = '' }: RemoteSettings): ModelSpec {
  const tier = isNearby(openaiUrl) ? Tier.TIER_FAST : Tier.TIER_CLOUD;
  return modelElsewhere(model, { tier, contextLength: UNKNOWN_CONTEXT });
}

/**
 * A model whose weights are not here, and so have no digest: what the catalogue has is that of other files.
 * @param unknown what holds where the catalogue does not know it
 */
export function modelElsewhere(name: string, unknown: Pick<ModelSpec, 'tier' | 'contextLength'>): ModelSpec {
  const entry = loadCatalogue(process.env.INFERMESH_CATALOGUE).models.get(name);
  const { input_usd_per_million = 0, output_usd_per_million = 0 } = entry?.price ?? {};
  return {
    name,
    path: '',
    digest: '',
    sizeBytes: 0,
    tier: entry?.tier ?? unknown.tier,
    tasks: entry?.tasks ?? [],
    quantization: '',
    licence: entry?.licence ?? '',
    contextLength: entry?.context_length ?? unknown.contextLength,
    price: { inputUsdPerMillion: input_usd_per_million, outputUsdPerMillion: output_usd_per_million },
  };
}

export function serverOf(settings: RemoteSettings): ServerSpec {
  const { model, openaiUrl = '', openaiModel, openaiKeyFile, openaiKeyEnv } = settings;
  // Many clouds do, and one that is wrongly taken for such loses no more than the hedges.
  const { billsAfterDisconnect = !isNearby(openaiUrl) } = settings;
  return {
    url: openaiUrl.replace(/\/+$/, ''),
    model: openaiModel ?? model,
    keyFile: openaiKeyFile,
    keyEnv: openaiKeyEnv,
    billsAfterDisconnect,
  };
}

const isNearby = (url: string) => url.startsWith('http:') || isLoopback(`${new URL(url).hostname}:`);
