/** What `infermesh up` shows of its mesh. */
import type { Node } from '../../client/index.ts';
import { classifiesOnly } from '../../proto/contract/classes.ts';
import { embedsOnly } from '../../proto/contract/embedding.ts';
import { fleetTable, hardwareOf, readableNode, speedOf } from '../output/fleet.ts';
import type { Progress } from '../output/progress.ts';
import { openProgress } from '../output/progress.ts';
import type { Terminal } from '../output/terminal.ts';
import { harmless, style } from '../output/terminal.ts';
import { milliseconds, rate } from '../output/units.ts';
import type { MeshNews } from './local-mesh.ts';
import { reachable } from './local-mesh.ts';
import type { NodeNews } from './node-keeper.ts';
import type { PlannedNode } from './settings.ts';
import { modelsOf } from './settings.ts';

const STORY = 'tell me a story about a small dragon';
const QUESTION = 'what is the capital of France?';
const DEFAULT_ADDRESS = '127.0.0.1:50051';

export class Telling {
  readonly #terminal: Terminal;
  readonly #bars: Progress;
  #address = '';
  #settled = false;
  #someServe = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#bars = openProgress(terminal);
  }

  tell(news: MeshNews): void {
    switch (news.type) {
      case 'listening':
        this.#listening(news.address);
        break;
      case 'node':
        this.#node(news.plan, news.news);
        break;
      case 'serving':
        this.#serving(news.plan, news.node, news.pending);
        break;
      case 'settled':
        this.#settle(news.nodes, news.givenUp);
        break;
      case 'log':
        this.#log(news.line);
    }
  }

  #listening(address: string): void {
    this.#address = address;
    if (this.#terminal.json) this.#terminal.object({ event: 'listening', address });
    else this.#bars.note(`router at ${style('cyan', address, process.stderr)}; its nodes load their models`);
  }

  #node(plan: PlannedNode, news: NodeNews): void {
    const { name } = plan;
    const model = modelsOf(plan);
    if (news.type === 'progress') {
      if (!this.#settled) this.#bars.step(name, news.step);
      return;
    }
    if (news.type === 'log') {
      this.#log(news.line);
      return;
    }
    const { type, why } = news;
    if (this.#terminal.json) {
      const pause = type === 'restarting' ? { restartInMs: news.inMs } : {};
      this.#terminal.object({ event: `node_${type}`, node: name, model, message: why, ...pause });
      return;
    }
    const what = type === 'given_up' ? 'the mesh goes on without it' : `it starts again in ${milliseconds(news.inMs)}`;
    if (type === 'given_up') this.#bars.done(name, 'given up');
    this.#bars.note(`${style('yellow', `${name} (${model})`, process.stderr)}: ${harmless(why)}; ${what}`);
  }

  #serving(plan: PlannedNode, node: Node, pending: number): void {
    const { name } = plan;
    const model = modelsOf(plan);
    const [served] = node.models;
    const tokensPerSecond = served ? speedOf(served) : 0;
    const answers = canAnswer(node);
    const hardware = hardwareOf(node);
    if (this.#terminal.json) {
      this.#terminal.object({ event: 'node_ready', node: name, model, tokensPerSecond, hardware });
    } else if (this.#settled) {
      this.#bars.note(`${style('green', name, process.stderr)} serves again`);
    } else {
      this.#bars.done(name, `ready, ${rate(tokensPerSecond)}`);
      if (answers && !this.#someServe && pending > 0)
        this.#bars.note(`the mesh answers already: ${this.#command(`chat "${promptFor(node)}"`)}`);
    }
    this.#someServe ||= answers;
  }

  #settle(nodes: readonly Node[], givenUp: readonly PlannedNode[]): void {
    this.#settled = true;
    this.#bars.end();
    if (this.#terminal.json) {
      this.#terminal.object({ event: 'ready', address: this.#address, nodes: nodes.map(readableNode), givenUp });
      return;
    }
    const lines = [
      '',
      `The mesh answers at ${style(['bold', 'cyan'], this.#address)}`,
      '',
      fleetTable(nodes),
      '',
      'Ask it, from another terminal:',
      ...this.#commands(nodes).map((command) => `  ${style('bold', command)}`),
      '',
      style('dim', 'Ctrl-C ends everything'),
    ];
    for (const line of lines) this.#terminal.line(line);
  }

  #commands(nodes: readonly Node[]): string[] {
    const prompts = [...new Set(nodes.filter(canAnswer).map(promptFor))].toSorted((a, b) =>
      a === STORY ? -1 : b === STORY ? 1 : 0,
    );
    const chats = prompts.map((prompt) => this.#command(`chat "${prompt}"`));
    return prompts.length === 0 ? [this.#command('ps')] : [...chats, this.#command(`explain "${prompts.at(-1)}"`)];
  }

  #command(what: string): string {
    const address = reachable(this.#address);
    return `npx infermesh ${what}${address === DEFAULT_ADDRESS ? '' : ` --router ${address}`}`;
  }

  /** Lines of router and nodes, as they are. */
  #log(line: string): void {
    if (this.#terminal.json) this.#terminal.note(line);
    else this.#bars.note(style('dim', harmless(line), process.stderr));
  }

  ending(): void {
    this.#bars.end();
    if (this.#terminal.json) this.#terminal.object({ event: 'stopping' });
    else this.#terminal.note('ending the nodes, then the router');
  }

  ended(): void {
    this.#bars.end();
    if (this.#terminal.json) this.#terminal.object({ event: 'stopped' });
  }
}

const canAnswer = ({ models }: Node) => models.some(({ tasks }) => !embedsOnly(tasks) && !classifiesOnly(tasks));

/** What a node's model can answer: one that is made for stories gets a wish for one. */
function promptFor({ models }: Node): string {
  return models.some(({ tasks }) => tasks.length > 0 && !tasks.includes('chat')) ? STORY : QUESTION;
}
