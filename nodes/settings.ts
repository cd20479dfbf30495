/** What a node can be told, with its defaults. What may differ from model to model stands in model-settings.ts. */
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { z } from 'zod';
import { Fault, toFault } from '../proto/contract/faults.ts';
import type { SettingSources } from '../proto/contract/settings.ts';
import {
  address,
  envName,
  flagName,
  integer,
  isLoopback,
  list,
  logLevel,
  memoryAmount,
  percent,
  resolveSettings,
  toggle,
} from '../proto/contract/settings.ts';
import type { ModelSettings } from './model-settings.ts';
import { checkModel, modelSetting, modelShape } from './model-settings.ts';
import type { ModelEntry } from './models-file.ts';
import { MOST_MODELS, readModelsFile } from './models-file.ts';
import { marksOf } from './pressure/marks.ts';

const LABEL = /^[A-Za-z0-9._/-]{1,64}=.{0,256}$/;

export const nodeSchema = z.object({
  /** Every router this node serves. */
  join: list(address())
    .default(['127.0.0.1:50051'])
    .refine((all) => all.length >= 1 && all.length <= 64, 'must be 1 to 64 addresses'),
  tokenFile: z.string().min(1, 'must be a path'),
  /** For one join; its form is checked where an error does not show it. */
  joinToken: z.coerce.string().optional(),
  /** The node's own key; without it, one in the user's data folder, by the node's id. */
  keyFile: z.string().min(1, 'must be a path').optional(),
  id: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/, 'must be 1 to 64 lower-case letters, digits and .-')
    .optional(),
  /** Loaded at the start, each with the settings that follow. */
  model: list(modelSetting)
    .default(['stories-15m'])
    .refine((all) => all.length >= 1 && all.length <= MOST_MODELS, `must be 1 to ${MOST_MODELS} models`),
  /** Announced, and loaded when a router asks for one. */
  onDemand: list(modelSetting)
    .default([])
    .refine((all) => all.length <= MOST_MODELS, `must be up to ${MOST_MODELS} models`),
  /** Entries in place of both, each with settings of its own. */
  modelsFile: z.string().min(1, 'must be a path').optional(),
  /** What all models together may take, of the memory that this machine or its control group has. */
  memoryBudget: memoryAmount().default('80%'),
  /** What the node and its engines may take; absent: as much as the machine or its control group has. */
  memoryLimit: memoryAmount().optional(),
  /** Of the limit: over the high mark idle models go, below the low one everything is as before. */
  memoryHigh: percent(10, 98).default('85%'),
  memoryLow: percent(5, 97).default('75%'),
  ...modelShape,
  zone: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,64}$/, 'must be up to 64 letters, digits and ._-')
    .default(''),
  labels: list(z.string().regex(LABEL, 'must be NAME=VALUE')).default([]),
  tlsCa: z.string().optional(),
  /** The node's certificate, with the name infermesh://node/ID. */
  tlsCert: z.string().optional(),
  tlsKey: z.string().optional(),
  allowPlaintext: toggle().default(false),
  drainMs: integer(0, 3_600_000).default(30_000),
  logLevel: logLevel().default('info'),
});

export type NodeSettings = Readonly<z.infer<typeof nodeSchema>> & {
  /** One for each model, those first that are loaded at the start; of different names. */
  readonly models: readonly ModelSettings[];
};

/** @throws Fault INVALID_REQUEST */
export function nodeSettings(sources: SettingSources): NodeSettings {
  const settings = resolveSettings(nodeSchema, sources);
  const remote = settings.join.find((router) => !isLoopback(router));
  if (remote !== undefined && !settings.tlsCa && !settings.allowPlaintext) {
    throw new Fault(
      'INVALID_REQUEST',
      `--join ${remote} is not loopback: give --tls-ca, or --allow-plaintext on a network you trust`,
    );
  }
  marksOf(settings);
  if (settings.modelsFile !== undefined) checkAlone(sources);
  const models = modelsOf(settings).toSorted((one, other) => Number(one.onDemand) - Number(other.onDemand));
  checkModels(models, settings.modelsFile);
  return Object.freeze({ ...settings, models: Object.freeze(models) });
}

/** Defaults apart, a file of models and flags that name some would be two lists. */
function checkAlone({ flags = {}, env = {}, file = {} }: SettingSources): void {
  const given = (['model', 'onDemand'] as const).filter((key) => flags[key] ?? (env[envName(key)] || file[key]));
  if (given.length === 0) return;
  throw new Fault('INVALID_REQUEST', `--models-file and ${given.map(flagName).join(', ')}: give one of them`);
}

function modelsOf(settings: Readonly<z.infer<typeof nodeSchema>>): ModelSettings[] {
  const common = Object.fromEntries(Object.keys(modelShape).map((key) => [key, settings[key as keyof typeof modelShape]]));
  const entries: readonly ModelEntry[] =
    settings.modelsFile === undefined
      ? [...settings.model.map((model) => ({ model })), ...settings.onDemand.map((model) => ({ model, onDemand: true }))]
      : readModelsFile(settings.modelsFile);
  const { allowPlaintext } = settings;
  return entries.map((entry) => Object.freeze({ ...common, onDemand: false, allowPlaintext, ...entry }) as ModelSettings);
}

function checkModels(models: readonly ModelSettings[], path: string | undefined): void {
  const names = models.map(({ model }) => model);
  const twin = names.find((name, at) => names.indexOf(name) !== at);
  const where = path === undefined ? '--model, --on-demand' : basename(path);
  if (twin !== undefined) throw new Fault('INVALID_REQUEST', `${where}: ${twin} is there twice`);
  if (path === undefined && models.length > 1) {
    const [{ ollamaModel, openaiModel, lora } = {}] = models;
    const ofOne = { '--ollama-model': ollamaModel, '--openai-model': openaiModel, '--lora': lora?.[0] };
    const flag = Object.entries(ofOne).find(([, value]) => value !== undefined)?.[0];
    const why = `${flag} is for one model, and there are ${models.length}: use --models-file`;
    if (flag !== undefined) throw new Fault('INVALID_REQUEST', why);
  }
  for (const model of models) {
    try {
      checkModel(model);
    } catch (thrown) {
      if (path === undefined) throw thrown;
      throw new Fault('INVALID_REQUEST', `${where}: ${model.model}: ${toFault(thrown).message}`);
    }
  }
}

/** The id of a node that was given none: one for each model of a machine. */
export function defaultNodeId(model: string): string {
  const name = `${hostname()}-${model}`.toLowerCase().replace(/[^a-z0-9.-]+/g, '-');
  return name.slice(0, 64).replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '') || 'node';
}
