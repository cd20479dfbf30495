/** infermesh feedback */
import type { Command } from 'commander';
import { z } from 'zod';
import { resolveSettings } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { CONNECTION_HELP, connectionSchema, withMesh } from '../connection.ts';
import type { FlagHelp } from '../flags.ts';
import { addFlags } from '../flags.ts';
import { share } from '../output/units.ts';
import { sourcesOf } from '../settings.ts';
import { asUsage } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh feedback 0f5c2a10-3f6e-4f52-9a43-2b6f1d1c9e70 --rating 1
  infermesh feedback --groundedness 0.4 --recall 0.9 0f5c2a10-3f6e-4f52-9a43-2b6f1d1c9e70

The id of an answer is the requestId of its started event: infermesh chat --json shows it.
`;

/** Bounds are checked where every client has them checked; here a text only has to be a number. */
const figure = () => z.coerce.number({ error: 'must be a number' }).optional();

const schema = connectionSchema.extend({
  rating: figure(),
  groundedness: figure(),
  recall: figure(),
  readability: figure(),
});

const HELP: FlagHelp<typeof schema> = {
  ...CONNECTION_HELP,
  rating: ['R', 'how satisfied whoever read it was, 0 to 1'],
  groundedness: ['R', 'how much of it the given sources support, 0 to 1'],
  recall: ['R', 'how much of what should have been said it says, 0 to 1'],
  readability: ['R', 'how easy it is to read, 0 to 1'],
};

export function define(command: Command): void {
  command.argument('<request>', 'id of the request that was answered');
  addFlags(command, schema, HELP).addHelpText('after', EXAMPLES);
  action(command, feedback);
}

async function feedback({ command, args, terminal, interrupts }: Context): Promise<void> {
  const settings = asUsage(() => resolveSettings(schema, sourcesOf(command, ['client'])));
  const { rating, groundedness, recall, readability } = settings;
  const figures = Object.fromEntries(
    Object.entries({ rating, groundedness, recall, readability }).filter(([, value]) => value !== undefined),
  );
  const ask = { signal: interrupts.signal };
  const reward = await withMesh(settings, (mesh) => mesh.feedback(args[0] as string, figures, ask));
  if (terminal.json) terminal.object({ reward });
  else terminal.line(`the answer now counts ${share(reward)} of 1`);
}
