/** What `infermesh up` can be told, and the nodes that this makes. */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { address, integer, list, logLevel, toggle } from '../../proto/contract/settings.ts';
import type { FlagHelp } from '../flags.ts';

/** One that is here at once and writes stories, and one that can chat. */
const NODES = ['stories=stories-15m:4', 'tinyllama=tinyllama-1.1b-chat:2'];
const NODE = /^([a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?)=([A-Za-z0-9._:+-]{1,1024})$/;
const MODEL = /^([A-Za-z0-9][A-Za-z0-9._:-]{0,127}?)(?::(\d{1,5}))?$/;
const SLOTS = 4;

export const upSchema = z.object({
  listen: address().default('127.0.0.1:50051'),
  nodes: list(z.string().refine(isNode, 'must be NAME=MODEL or NAME=MODEL:SLOTS, with + between several models'))
    .default(NODES)
    .refine((all) => all.length >= 1 && all.length <= 64, 'must be 1 to 64 nodes')
    .refine((all) => new Set(all.map(nameIn)).size === all.length, 'must be nodes of different names'),
  /** With the mesh's secrets beside it, where the commands for admins look. */
  tokenFile: z.string().min(1, 'must be a path'),
  download: toggle().default(true),
  /** Of each node; 0: the cores shared out, less one for the router. */
  threads: integer(0, 1024).default(0),
  allowPlaintext: toggle().default(false),
  logLevel: logLevel().default('warn'),
});

export type UpSettings = Readonly<z.infer<typeof upSchema>>;

export const UP_HELP: FlagHelp<typeof upSchema> = {
  listen: ['HOST:PORT', 'where clients dial; port 0 takes a free one'],
  nodes: ['NAME=MODEL:SLOTS', 'nodes to start, with + between several models of one; repeat it, or use commas, for several'],
  tokenFile: ['FILE', 'join token, made where there is none (default: join-token in your configuration folder)'],
  download: ['', 'do without the models that are not here'],
  threads: ['N', 'threads of each node; 0 shares out the cores'],
  allowPlaintext: ['', 'serve without TLS on an address that is not loopback'],
  logLevel: ['LEVEL', 'of router and nodes: trace, debug, info, warn, error or silent'],
};

export interface PlannedNode {
  readonly name: string;
  readonly models: readonly PlannedModel[];
  readonly threads: number;
}

export interface PlannedModel {
  readonly model: string;
  readonly slots: number;
}

/** Its models, for people. */
export const modelsOf = ({ models }: PlannedNode) => models.map(({ model }) => model).join(' + ');

/** @param cores that this process may use */
export function planNodes({ nodes, threads }: UpSettings, cores = availableParallelism()): PlannedNode[] {
  const share = Math.max(1, Math.floor((cores - 1) / nodes.length));
  return nodes.map((text) => {
    const [, name = '', models = ''] = NODE.exec(text) ?? [];
    return { name, models: models.split('+').map(planModel), threads: threads || share };
  });
}

function planModel(text: string): PlannedModel {
  const [, model = '', slots] = MODEL.exec(text) ?? [];
  return { model, slots: slots === undefined ? SLOTS : Number(slots) };
}

function isNode(text: string): boolean {
  const models = NODE.exec(text)?.[2]?.split('+') ?? [''];
  return (
    models.every((model) => MODEL.test(model)) && new Set(models.map((model) => planModel(model).model)).size === models.length
  );
}

function nameIn(node: string): string {
  return node.slice(0, node.indexOf('='));
}
