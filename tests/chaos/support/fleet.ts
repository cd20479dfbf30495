/** A mesh whose members can be killed and started again: routers on fixed ports, nodes with fixed ids. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConnectOptions, Mesh, Node } from '../../../client/index.ts';
import { connect, NodeState } from '../../../client/index.ts';
import type { Member } from '../../support/mesh.ts';
import { startMember, TOKEN } from '../../support/mesh.ts';
import { freePort } from '../../support/ports.ts';
import { poll } from './clock.ts';

const CLI = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));
const FAULTY_PROCESS = new URL('./faulty-process.ts', import.meta.url).href;
const FAULTY_ENGINE = new URL('./faulty-engine.ts', import.meta.url).href;
const START_LIMIT_MS = 60_000;

export interface ChaosNode {
  readonly id: string;
  /** Of the replay engine: rate=TOKENS_PER_SECOND,length=TOKENS. */
  readonly replay: string;
  readonly model?: string;
  readonly slots: number;
  /** Instead of the fleet's routers: a proxy before one. */
  readonly join?: readonly string[];
  /** What the engine does wrong, see faulty-engine.ts. */
  readonly faults?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface FleetOptions {
  readonly routers?: number;
  readonly routerFlags?: readonly string[];
  readonly routerEnv?: Readonly<Record<string, string>>;
  /** A file that takes the routers' logs, instead of this process. */
  readonly routerLog?: string;
  /** What a router wants to see of who asks for its nodes. */
  readonly adminToken?: string;
}

export class Fleet implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'infermesh-chaos-'));
  readonly routers: string[] = [];
  readonly nodes = new Map<string, Member>();
  readonly #routerMembers = new Map<string, Member>();
  readonly #specs = new Map<string, ChaosNode>();
  readonly #options: FleetOptions;
  #client: Mesh | undefined;

  private constructor(options: FleetOptions) {
    this.#options = options;
    writeFileSync(this.tokenFile, `${TOKEN}\n`);
  }

  static async start(nodes: readonly ChaosNode[], options: FleetOptions = {}): Promise<Fleet> {
    const fleet = new Fleet(options);
    try {
      for (let i = 0; i < (options.routers ?? 1); i++) fleet.routers.push(`127.0.0.1:${await freePort()}`);
      for (const address of fleet.routers) await fleet.startRouter(address);
      for (const node of nodes) fleet.startNode(node);
      await fleet.serving(nodes.map(({ id }) => id));
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #dial(): ConnectOptions {
    const { adminToken } = this.#options;
    return adminToken === undefined ? {} : { apiKey: adminToken };
  }

  get tokenFile(): string {
    return join(this.folder, 'token');
  }

  get address(): string {
    return this.routers[0] as string;
  }

  /** Of the first router. */
  get client(): Mesh {
    this.#client ??= connect(this.address, this.#dial);
    return this.#client;
  }

  router(address = this.address): Member {
    return this.#routerMembers.get(address) as Member;
  }

  node(id: string): Member {
    return this.nodes.get(id) as Member;
  }

  /** Resolves when it listens. */
  async startRouter(address: string): Promise<Member> {
    const { routerFlags = [], routerEnv = {}, routerLog } = this.#options;
    const args = ['router', '--listen', address, '--token-file', this.tokenFile, ...routerFlags];
    const router = routerLog === undefined ? startMember(args, routerEnv) : writingTo(routerLog, args);
    this.#routerMembers.set(address, router);
    const [message] = await Promise.race([once(router.process, 'message'), once(router.process, 'exit')]);
    if ((message as { type?: string })?.type !== 'listening') throw new Error(`the router did not start:\n${router.output()}`);
    return router;
  }

  /** Starts a node, also one that was here before; it serves a little later. */
  startNode(node: ChaosNode | string): Member {
    const spec = typeof node === 'string' ? (this.#specs.get(node) as ChaosNode) : node;
    const { id, replay, model = 'canned', slots, join: routers = this.routers, faults, flags = [], env = {} } = spec;
    const named = { 'token-file': this.tokenFile, id, engine: 'replay', model, replay, slots: String(slots) };
    const args = ['node', ...routers.flatMap((router) => ['--join', router]), ...Object.entries(named).flatMap(flag), ...flags];
    const faulty = faults ? { ...faults, NODE_OPTIONS: `--import ${FAULTY_ENGINE}` } : {};
    const member = startMember(args, { ...faulty, ...env });
    this.#specs.set(id, spec);
    this.nodes.set(id, member);
    return member;
  }

  /** Resolves when every router has these nodes serving. @throws Error after a minute */
  async serving(ids: readonly string[], limitMs = START_LIMIT_MS): Promise<void> {
    for (const address of this.routers) {
      using client = connect(address, this.#dial);
      const all = await poll(async () => (serves(await seen(client), ids) ? true : undefined), limitMs, 50);
      if (all) continue;
      const ended = ids.filter((id) => this.node(id)?.process.exitCode !== null).map((id) => this.node(id)?.output());
      throw new Error(`${ids.join(', ')} do not serve at ${address}. ${ended.join('\n')}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    // Nothing here looks at how members end: some stand still, some were killed long ago.
    const members = [...this.nodes.values(), ...this.#routerMembers.values()];
    await Promise.all(members.map((member) => member.stop('SIGKILL')));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A router whose log is a file. */
function writingTo(file: string, args: readonly string[]): Member {
  const fd = openSync(file, 'w');
  const child = fork(CLI, args, { stdio: ['ignore', 'ignore', fd, 'ipc'], serialization: 'advanced' });
  closeSync(fd);
  return {
    pid: child.pid as number,
    process: child,
    output: () => '',
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill(signal);
      await gone;
    },
  };
}

/** The environment of a process with faults of its own: see faulty-process.ts. */
export function faultyProcess(faults: Readonly<Record<string, string>>): Record<string, string> {
  return { ...faults, NODE_OPTIONS: `--import ${FAULTY_PROCESS}` };
}

const flag = ([name, value]: [string, string]) => (value === '' ? [] : [`--${name}`, value]);

async function seen(client: Mesh): Promise<readonly Node[]> {
  return client.nodes().catch(() => []);
}

function serves(nodes: readonly Node[], ids: readonly string[]): boolean {
  const serving = nodes.filter(({ state, models }) => state === NodeState.NODE_STATE_SERVING && models.length > 0);
  return ids.every((id) => serving.some((node) => node.id === id));
}
