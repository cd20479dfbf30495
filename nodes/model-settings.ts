/** What may differ from one model of a node to the next. */
import { z } from 'zod';
import { MODEL_NAME } from '../proto/contract/bounds.ts';
import { Fault } from '../proto/contract/faults.ts';
import { integer, isLoopback, list, real, toggle } from '../proto/contract/settings.ts';
import { ADAPTER_FORM, readAdapter } from './backends/llama-cpp/lora.ts';
import { tierSchema } from './models/schema.ts';
import { checkOllama, isOllamaModel } from './ollama-model.ts';

/** A name of the catalogue, or weights of one's own. */
export const modelSetting = z
  .string()
  .refine(
    (text) => MODEL_NAME.test(text) || text.startsWith('file:/'),
    'must be the name of a model, or file:/ABSOLUTE/PATH.gguf',
  );

/** Each is a setting of the node, too: what an entry of a file leaves out. */
export const modelShape = {
  engine: z
    .enum(['llama-cpp', 'ollama', 'onnx', 'openai', 'replay'], {
      error: 'must be llama-cpp, ollama, onnx, openai or replay',
    })
    .default('llama-cpp'),
  /** For the replay engine: rate=TOKENS_PER_SECOND,length=TOKENS. */
  replay: z.string().default(''),
  /** For the ollama engine. */
  ollamaUrl: z
    .string()
    .refine(isServerUrl, 'must be an http:// or https:// URL without a user, a query or a fragment')
    .default('http://127.0.0.1:11434'),
  /** What Ollama calls the model, where that is not the model's name here. */
  ollamaModel: z.string().refine(isOllamaModel, 'must be a name of Ollama, such as llama3.2:1b').optional(),
  /** Tokens of context for each slot; Ollama sets memory aside for all of them. */
  ollamaContext: integer(256, 10_000_000).default(8192),
  ollamaKeepAlive: z
    .string()
    .regex(/^(?:-?\d{1,9}|(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h))+)$/, 'must be a time such as 30m, seconds, or -1 for ever')
    .default('1h'),
  /** For the openai engine: where the server is, with the API's version, as a rule /v1. */
  openaiUrl: z
    .string()
    .refine(isServerUrl, 'must be an http:// or https:// URL without a user, a query or a fragment')
    .optional(),
  /** What the server calls the model, where that is not the model's name here. */
  openaiModel: z.string().min(1, 'must be a name').max(256, 'must be a name').optional(),
  /** The API key, never a flag itself: others on the machine could read it. */
  openaiKeyFile: z.string().min(1, 'must be a path').optional(),
  openaiKeyEnv: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be the name of a variable')
    .optional(),
  /** Whether that server goes on, and charges, after a request was given up; absent: as its address suggests. */
  billsAfterDisconnect: toggle().optional(),
  slots: integer(1, 16_384).default(4),
  /** Tokens of context for each slot of llama-cpp; absent: as many as the memory budget has room for, up to the model's own. */
  context: integer(256, 10_000_000).optional(),
  /** 0: the engine chooses. */
  threads: integer(0, 1024).default(0),
  gpuLayers: z
    .union([z.literal('auto'), integer(0, 1024)], { error: 'must be auto or a whole number from 0 to 1024' })
    .default('auto'),
  /** LoRA adapters of the model, for the llama-cpp engine. */
  lora: list(z.string().refine((text) => readAdapter(text) !== undefined, ADAPTER_FORM)).default([]),
  /** Instead of the catalogue's. */
  asTier: tierSchema.optional(),
  inputPrice: real(0, 1e6).optional(),
  outputPrice: real(0, 1e6).optional(),
  /** Absent: assumed from the engine's threads. */
  watts: real(0, 1e6).optional(),
};

const shape = z.object({ ...modelShape, model: modelSetting });

/** Everything that is set for one model. */
export type ModelSettings = Readonly<z.infer<typeof shape>> & {
  /** It is loaded when a router asks for it, and not at the start. */
  readonly onDemand: boolean;
  readonly allowPlaintext: boolean;
};

/** Of a model that the catalogue has and no setting names: what holds for the machine, and nothing that was set for others. */
export function usualSettings({ slots, threads, gpuLayers, watts }: Omit<ModelSettings, 'model' | 'onDemand'>): ModelSettings {
  const usual = shape.parse({ model: 'any', slots, threads, gpuLayers, watts });
  return { ...usual, onDemand: true, allowPlaintext: false };
}

/** @throws Fault INVALID_REQUEST for what does not go together */
export function checkModel(settings: ModelSettings): void {
  if (settings.engine === 'openai') checkServer(settings);
  if (settings.engine === 'ollama') checkOllama(settings);
  if (settings.engine !== 'llama-cpp' && settings.lora.length > 0) {
    throw new Fault('INVALID_REQUEST', `--lora is for the llama-cpp engine, and ${settings.model} has ${settings.engine}`);
  }
}

function checkServer({ openaiUrl, openaiKeyFile, openaiKeyEnv, allowPlaintext }: ModelSettings): void {
  if (openaiUrl === undefined) throw new Fault('INVALID_REQUEST', '--engine openai needs --openai-url');
  if (openaiKeyFile !== undefined && openaiKeyEnv !== undefined) {
    throw new Fault('INVALID_REQUEST', '--openai-key-file and --openai-key-env: give one of them');
  }
  const { protocol, host, hostname } = new URL(openaiUrl);
  const hasKey = openaiKeyFile !== undefined || openaiKeyEnv !== undefined;
  if (hasKey && protocol === 'http:' && !isLoopback(`${hostname}:`) && !allowPlaintext) {
    const why = `--openai-url http://${host} would show the API key to the network`;
    throw new Fault('INVALID_REQUEST', `${why}: give an https:// URL, or --allow-plaintext on a network you trust`);
  }
}

function isServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && username + password + search + hash === '';
}
