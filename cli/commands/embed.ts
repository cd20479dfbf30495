/** infermesh embed */
import type { Command } from 'commander';
import { z } from 'zod';
import { resolveSettings, toggle } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { CONNECTION_HELP, connectionSchema, withMesh } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { harmless } from '../output/terminal.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh embed "How do I reset my password?" "I forgot my password" "The weather is mild"
  infermesh embed --json "a text" | jq .vectors[0]

A mesh makes vectors where a node serves a model for them: infermesh node --model all-minilm-l6-v2
`;

const schema = connectionSchema.extend({
  model: z.string().optional(),
  refresh: toggle().default(false),
});

const HELP: FlagHelp<typeof schema> = {
  ...CONNECTION_HELP,
  model: ['NAME', 'who must make them; without it whoever does'],
  refresh: ['', 'make all anew, instead of taking them from the cache'],
};

export function define(command: Command): void {
  command.argument('<text...>', 'texts to make vectors of; without --json the likeness of each to the first is shown');
  addFlags(command, schema, HELP).addHelpText('after', EXAMPLES);
  action(command, embed);
}

async function embed({ command, args, terminal, interrupts }: Context): Promise<void> {
  const { model, refresh, ...settings } = asUsage(() => resolveSettings(schema, sourcesOf(command, ['client'])));
  const wish = { refresh, signal: interrupts.signal, ...(model === undefined ? {} : { model }) };
  const made = await withMesh(settings, (mesh) => mesh.embed(args, wish));
  if (terminal.json) return terminal.object({ ...made, vectors: made.vectors.map((vector) => [...vector]) });
  const [first] = made.vectors;
  for (const [i, vector] of made.vectors.entries()) {
    terminal.line(`${cosine(first as Float32Array, vector).toFixed(3)}  ${harmless(args[i] as string)}`);
  }
  terminal.note(`cosine to the first, by ${harmless(made.model)}, ${made.dimensions} dimensions, ${made.cached} from the cache`);
}

/** Both are of length 1. */
function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}
