/** infermesh ps */
import { setTimeout as pause } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Node } from '../../client/index.ts';
import type { Context } from '../action.ts';
import { action } from '../action.ts';
import { addConnectionFlags, connectionSettings, meshOf, withAddress, withMesh } from '../connection.ts';
import { fleetTable, readableNode } from '../output/fleet.ts';
import type { Terminal } from '../output/terminal.ts';
import { style } from '../output/terminal.ts';

const EXAMPLES = `
Examples:
  infermesh ps
  infermesh ps --watch                      until Ctrl-C
  infermesh ps --json --watch               one line for each change
  infermesh ps --router gpu-router:50051 --tls-ca ca.pem
`;
const REFRESH_MS = 1000;
const TAKE_UP = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const OTHER_SCREEN = '\x1b[?1049h\x1b[?25l';
const OWN_SCREEN = '\x1b[?25h\x1b[?1049l';

export function define(command: Command): void {
  addConnectionFlags(command).option('-w, --watch', 'stay, and show every change').addHelpText('after', EXAMPLES);
  action(command, (context) => (context.command.opts().watch ? watch(context) : once(context)));
}

async function once({ command, terminal }: Context): Promise<void> {
  const nodes = await withMesh(connectionSettings(command), (mesh) => mesh.nodes());
  if (terminal.json) terminal.object({ nodes: nodes.map(readableNode) });
  else terminal.line(shown(nodes, terminal));
}

async function watch({ command, terminal, interrupts: { signal } }: Context): Promise<void> {
  const settings = connectionSettings(command);
  using mesh = meshOf(settings);
  // Without a router there is nothing to watch; one that goes later may come back.
  let nodes = await mesh.nodes().catch((thrown) => Promise.reject(withAddress(thrown, settings.router)));
  using screen = new Screen(terminal);
  while (!signal.aborted) {
    try {
      for await (nodes of mesh.watchNodes(REFRESH_MS, signal)) {
        if (terminal.json) terminal.object({ nodes: nodes.map(readableNode) });
        else screen.draw(shown(nodes, terminal));
      }
    } catch {
      if (!signal.aborted)
        screen.draw(`${shown(nodes, terminal)}\n\n  ${style('yellow', `${settings.router.join(', ')} does not answer`)}`);
    }
    await pause(REFRESH_MS, undefined, { signal }).catch(() => {});
  }
}

function shown(nodes: readonly Node[], { live, columns }: Terminal): string {
  if (nodes.length > 0) return fleetTable(nodes, live ? columns : undefined);
  return '  no node has joined this router yet; join one with: infermesh node --join HOST:PORT --token-file FILE';
}

/** Redraws in place on a terminal; elsewhere prints one table after the other. */
class Screen implements Disposable {
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    if (terminal.live) terminal.write(OTHER_SCREEN);
  }

  draw(text: string): void {
    if (this.#terminal.json) return;
    if (!this.#terminal.live) {
      this.#terminal.line(`${text}\n`);
      return;
    }
    const lines = ['', ...text.split('\n'), '', style('dim', '  Ctrl-C ends')];
    this.#terminal.write(`${TAKE_UP}${lines.map((line) => `${line}${CLEAR_LINE}`).join('\n')}${CLEAR_BELOW}`);
  }

  [Symbol.dispose](): void {
    if (this.#terminal.live) this.#terminal.write(OWN_SCREEN);
  }
}
