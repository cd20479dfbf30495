/** infermesh up: what `npm start` runs. */
import type { Command } from 'commander';
import { resolveSettings } from '../../proto/contract/settings.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { addFlags } from '../flags.ts';
import { aborted, INTERRUPTED } from '../interrupts.ts';
import { defaultTokenFile, sourcesOf } from '../settings.ts';
import { LocalMesh } from '../up/local-mesh.ts';
import type { UpSettings } from '../up/settings.ts';
import { planNodes, UP_HELP, upSchema } from '../up/settings.ts';
import { Telling } from '../up/telling.ts';
import { asUsage } from '../usage.ts';

const EXAMPLES = `
Examples:
  infermesh up
  infermesh up --listen 127.0.0.1:50052 --no-download
  infermesh up --nodes fast=stories-15m:8,chat=qwen2.5-0.5b-instruct:2
  infermesh up --nodes both=stories-15m:4+all-minilm-l6-v2:4
  infermesh up --json                          one line for each event; the event "ready" comes when all nodes are
`;

export function define(command: Command): void {
  addFlags(command, upSchema, UP_HELP).addHelpText('after', EXAMPLES);
  action(command, up, { server: true });
}

async function up({ command, terminal, interrupts }: Context): Promise<void> {
  const settings = asUsage(() => resolveSettings(upSchema, sourcesOf(command, ['up'], { tokenFile: defaultTokenFile() })));
  const telling = new Telling(terminal);
  const mesh = new LocalMesh(settings, (news) => telling.tell(news));
  interrupts.onSecond(() => {
    mesh.kill();
    process.exit(INTERRUPTED);
  });
  const stop = aborted(interrupts.signal);
  try {
    await Promise.race([mesh.start(planNodes(settings), await notToBeHad(settings)), stop]);
    await Promise.race([stop, mesh.lost]);
    telling.ending();
  } finally {
    await mesh.end();
    telling.ended();
  }
}

/** With --no-download, the models that are not here. */
async function notToBeHad({ download }: UpSettings): Promise<ReadonlySet<string>> {
  if (download) return new Set();
  const { openModelStore } = await import('../../nodes/index.ts');
  const absent = (await openModelStore().list()).filter(({ state }) => state !== 'present');
  return new Set(absent.map(({ entry }) => entry.name));
}
