/**
 * A mesh of real processes on loopback, by the command line that users type: one router and any number of nodes.
 * Disposing it ends every process it started and fails when one had to be killed.
 */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConnectOptions, Mesh, Node } from '../../client/index.ts';
import { connect, NodeState } from '../../client/index.ts';

const CLI = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const START_LIMIT_MS = 80_000;
const END_LIMIT_MS = 10_000;

export const TOKEN = 'a-join-token-for-tests-only';

export interface NodeOptions {
  readonly engine?: 'llama-cpp' | 'onnx' | 'replay';
  readonly model?: string;
  readonly id?: string;
  /** rate=TOKENS_PER_SECOND,length=TOKENS */
  readonly replay?: string;
  readonly slots?: number;
  readonly threads?: number;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface MeshOptions {
  readonly nodes?: readonly NodeOptions[];
  readonly routerFlags?: readonly string[];
  readonly routerEnv?: NodeJS.ProcessEnv;
  readonly connect?: ConnectOptions;
}

/** A process of the mesh, with what it wrote. */
export interface Member {
  readonly pid: number;
  readonly process: ChildProcess;
  readonly output: () => string;
  /** Ends it in order; resolves when it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** A router beside the first. */
export interface RouterMember {
  readonly address: string;
  /** Of this router alone. */
  readonly client: Mesh;
  readonly member: Member;
}

export interface TestMesh extends AsyncDisposable {
  readonly address: string;
  readonly client: Mesh;
  readonly router: Member;
  readonly nodes: readonly Member[];
  readonly tokenFile: string;
  /** Starts one more node; resolves when it serves. */
  addNode(options?: NodeOptions): Promise<Member>;
  /** Starts one more router; nodes join it by the flag --join ADDRESS. */
  addRouter(flags?: readonly string[]): Promise<RouterMember>;
  /** Resolves when the fleet is as asked. */
  until(condition: (nodes: readonly Node[]) => boolean): Promise<readonly Node[]>;
}

export async function startMesh({
  nodes = [{}],
  routerFlags = [],
  routerEnv = {},
  connect: options = {},
}: MeshOptions = {}): Promise<TestMesh> {
  const folder = mkdtempSync(join(tmpdir(), 'infermesh-test-'));
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, `${TOKEN}\n`);
  const members: Member[] = [];
  const router = startMember(['router', '--listen', '127.0.0.1:0', '--token-file', tokenFile, ...routerFlags], routerEnv);
  const address = await readyAddress(router);
  const client = connect(address, options);
  const routers: RouterMember[] = [];
  const mesh: TestMesh = {
    address,
    client,
    router,
    nodes: members,
    tokenFile,
    async addNode(node = {}) {
      const id = node.id ?? `node-${members.length + 1}`;
      const member = startMember(nodeArguments(address, tokenFile, id, node), node.env);
      members.push(member);
      const serving = mesh.until((all) => all.some((one) => one.id === id && one.models.length > 0 && isServing(one)));
      await Promise.race([serving, diedEarly(member)]);
      return member;
    },
    async addRouter(flags = []) {
      const member = startMember(['router', '--listen', '127.0.0.1:0', '--token-file', tokenFile, ...flags], routerEnv);
      const own = await readyAddress(member);
      const beside = { address: own, client: connect(own, options), member };
      routers.push(beside);
      return beside;
    },
    until: (condition) => until(client, condition),
    async [Symbol.asyncDispose]() {
      for (const one of [{ client }, ...routers]) one.client.close();
      // Nodes first, as an operator would: the router then has nothing left to wait for.
      await Promise.all(members.map((member) => member.stop()));
      await Promise.all([router, ...routers.map(({ member }) => member)].map((one) => one.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await Promise.all(nodes.map((node) => mesh.addNode(node)));
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
  return mesh;
}

const isServing = ({ state }: Node) => state === NodeState.NODE_STATE_SERVING;

function nodeArguments(address: string, tokenFile: string, id: string, node: NodeOptions): string[] {
  const { engine = 'llama-cpp', model = 'stories-15m', slots = 4, threads = 1, replay, flags = [] } = node;
  const all = {
    join: address,
    'token-file': tokenFile,
    id,
    engine,
    model,
    slots,
    threads,
    ...(replay === undefined ? {} : { replay }),
  };
  return ['node', ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]), ...flags];
}

/** Any process of the command line, with its output kept and a channel for its messages. */
export function startMember(args: readonly string[], env: NodeJS.ProcessEnv = {}): Member {
  const child = fork(CLI, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
    env: { ...process.env, INFERMESH_LOG_LEVEL: 'info', ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  return {
    pid: child.pid as number,
    process: child,
    output: () => output,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill(signal);
      // A stopped process reads no signal but these two.
      child.kill('SIGCONT');
      const force = setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS);
      const [, by] = await gone;
      clearTimeout(force);
      if (by === 'SIGKILL' && signal !== 'SIGKILL') throw new Error(`infermesh ${args[0]} did not end by itself:\n${output}`);
    },
  };
}

async function readyAddress(member: Member): Promise<string> {
  for (;;) {
    const [message] = (await Promise.race([once(member.process, 'message'), diedEarly(member)])) as [
      { type?: string; address?: string },
    ];
    if (message.type === 'listening' && message.address) return message.address;
  }
}

async function diedEarly(member: Member): Promise<never> {
  const [code, signal] = await once(member.process, 'exit');
  throw new Error(`infermesh ended early (${code ?? signal}):\n${member.output()}`);
}

async function until(client: Mesh, condition: (nodes: readonly Node[]) => boolean): Promise<readonly Node[]> {
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  let last: readonly Node[] = [];
  try {
    for await (const nodes of client.watchNodes(100, limit)) {
      last = nodes;
      if (condition(nodes)) return nodes;
    }
  } catch (error) {
    if (!limit.aborted) throw error;
  }
  const seen = last.map(({ id, state, models }) => `${id}: state ${state}, ${models.length} models`).join('; ');
  throw new Error(`the fleet did not become as asked within ${START_LIMIT_MS} ms; it is: ${seen || 'empty'}`);
}
