/** A router and nodes on this machine, each in its own process, with a join token that only this user can read. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Mesh, Node } from '../../client/index.ts';
import { connect, Fault, NodeState } from '../../client/index.ts';
import { Child } from './child.ts';
import type { NodeNews } from './node-keeper.ts';
import { NodeKeeper } from './node-keeper.ts';
import type { PlannedModel, PlannedNode, UpSettings } from './settings.ts';

export type MeshNews =
  | { readonly type: 'listening'; readonly address: string }
  | { readonly type: 'node'; readonly plan: PlannedNode; readonly news: NodeNews }
  /** `pending` other nodes neither serve yet nor are given up. */
  | { readonly type: 'serving'; readonly plan: PlannedNode; readonly node: Node; readonly pending: number }
  /** Every node serves or is given up. */
  | { readonly type: 'settled'; readonly nodes: readonly Node[]; readonly givenUp: readonly PlannedNode[] }
  | { readonly type: 'log'; readonly line: string };

/** Running requests get the drain; the grace adds what ending the engine takes. Together they stay under 5 s. */
const NODE_DRAIN_MS = 1500;
const NODE_GRACE_MS = 3000;
const ROUTER_DRAIN_MS = 300;
const ROUTER_GRACE_MS = 1500;
const WATCH_MS = 100;
const REWATCH_MS = 500;
const NOT_HERE = 'its model is not here, and nothing is to be downloaded';

export class LocalMesh {
  readonly #settings: UpSettings;
  readonly #tell: (news: MeshNews) => void;
  /** Holds what each node is to serve. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'infermesh-'));
  readonly #lost = Promise.withResolvers<never>();
  readonly #watching = new AbortController();
  #router: Child | undefined;
  #nodes: NodeKeeper[] = [];
  #abandoned: readonly PlannedNode[] = [];
  #client: Mesh | undefined;
  #fleet: readonly Node[] = [];
  #settled = false;

  constructor(settings: UpSettings, tell: (news: MeshNews) => void) {
    this.#settings = settings;
    this.#tell = tell;
    // However this process ends, short of being killed.
    process.once('exit', () => this.#forget());
    this.#lost.promise.catch(() => {});
  }

  /** Rejects when the mesh can't go on: its router died, or no node is left. */
  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  /**
   * Starts the router, then the nodes; how they fare comes as news.
   * @param without models that are not to be had: nodes that would need one are given up at once
   * @throws Fault when the router can't be started
   */
  async start(planned: readonly PlannedNode[], without: ReadonlySet<string>): Promise<void> {
    const address = await this.#startRouter();
    // It may have been told to end meanwhile.
    if (this.#watching.signal.aborted) return;
    this.#tell({ type: 'listening', address });
    const lacks = ({ models }: PlannedNode) => models.every(({ model }) => without.has(model));
    const plans = planned.filter((plan) => !lacks(plan)).map((plan) => this.#less(plan, without));
    this.#abandoned = planned.filter(lacks);
    for (const plan of this.#abandoned) this.#tell({ type: 'node', plan, news: { type: 'given_up', why: NOT_HERE } });
    this.#nodes = plans.map((plan) => new NodeKeeper(plan, this.#nodeArgs(plan, address), (news) => this.#nodeNews(plan, news)));
    this.#client = connect(reachable(address));
    void this.#watch(this.#client);
  }

  /** The node with those of its models that are to be had. */
  #less(plan: PlannedNode, without: ReadonlySet<string>): PlannedNode {
    for (const { model } of plan.models.filter((planned) => without.has(planned.model))) {
      this.#tell({ type: 'log', line: `${plan.name} does without ${model}, which is not here` });
    }
    return { ...plan, models: plan.models.filter(({ model }) => !without.has(model)) };
  }

  #startRouter(): Promise<string> {
    const { listen, tokenFile, logLevel, allowPlaintext } = this.#settings;
    const args = ['router', '--listen', listen, '--token-file', tokenFile, '--log-level', logLevel];
    args.push('--drain-ms', String(ROUTER_DRAIN_MS), ...(allowPlaintext ? ['--allow-plaintext'] : []));
    return new Promise((resolve, reject) => {
      let failure: Fault | undefined;
      this.#router = new Child(args, {
        onMessage: (message) => {
          if (message.type === 'listening') resolve(message.address);
          else if (message.type === 'failed') failure = new Fault(message.reason, message.message);
        },
        onLine: (line) => this.#tell({ type: 'log', line }),
        onExit: (how) => {
          const fault = failure ?? new Fault('UNREACHABLE', `the router's process ended with ${how}, and the mesh with it`);
          reject(fault);
          this.#lost.reject(fault);
        },
      });
    });
  }

  #nodeArgs({ name, models, threads }: PlannedNode, address: string): string[] {
    const { tokenFile, logLevel, allowPlaintext } = this.#settings;
    return [
      ...['node', '--join', reachable(address), '--token-file', tokenFile, '--id', name],
      ...[
        '--models-file',
        this.#modelsFile(name, models),
        '--threads',
        String(threads),
        '--drain-ms',
        String(NODE_DRAIN_MS),
        '--log-level',
        logLevel,
      ],
      ...(allowPlaintext ? ['--allow-plaintext'] : []),
    ];
  }

  /** Each model with its own slots; JSON is YAML. */
  #modelsFile(name: string, models: readonly PlannedModel[]): string {
    const path = join(this.#folder, `${name}.yaml`);
    writeFileSync(path, JSON.stringify({ models }));
    return path;
  }

  #nodeNews(plan: PlannedNode, news: NodeNews): void {
    this.#tell({ type: 'node', plan, news });
    if (news.type === 'given_up') this.#settle();
  }

  /** Readiness is what the router sees, not what a node says of itself. */
  async #watch(client: Mesh): Promise<void> {
    const { signal } = this.#watching;
    while (!signal.aborted) {
      try {
        for await (const fleet of client.watchNodes(WATCH_MS, signal)) this.#seen(fleet);
      } catch {
        // A router that is gone is told of by the end of its process; one that is not can be watched again.
      }
      await pause(REWATCH_MS, undefined, { signal }).catch(() => {});
    }
  }

  #seen(fleet: readonly Node[]): void {
    this.#fleet = fleet;
    const begun = this.#nodes.flatMap((keeper) => {
      const node = fleet.find(({ id }) => id === keeper.plan.name);
      const serves = node?.state === NodeState.NODE_STATE_SERVING && node.models.length > 0;
      return serves && keeper.serves() ? [{ plan: keeper.plan, node }] : [];
    });
    const pending = this.#nodes.filter((keeper) => !keeper.serving && !keeper.givenUp).length;
    for (const { plan, node } of begun) this.#tell({ type: 'serving', plan, node, pending });
    this.#settle();
  }

  #settle(): void {
    const running = this.#nodes.filter((keeper) => !keeper.givenUp);
    if (running.length === 0) {
      this.#lost.reject(new Fault('NO_NODE', 'no node could be started'));
      return;
    }
    if (this.#settled || !running.every((keeper) => keeper.serving)) return;
    this.#settled = true;
    const givenUp = [...this.#abandoned, ...this.#nodes.filter((keeper) => keeper.givenUp).map(({ plan }) => plan)];
    this.#tell({ type: 'settled', nodes: this.#fleet, givenUp });
  }

  /** Nodes first, so that the router can still tell their requests' ends; then the router. Takes at most 5 s. */
  async end(): Promise<void> {
    this.#watching.abort();
    await Promise.all(this.#nodes.map((keeper) => keeper.end(NODE_GRACE_MS)));
    this.#client?.close();
    await this.#router?.end(ROUTER_GRACE_MS);
    this.#forget();
  }

  /** At once. */
  kill(): void {
    for (const keeper of this.#nodes) keeper.kill();
    this.#router?.kill();
    this.#forget();
  }

  #forget(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** An address that means every interface is dialled on loopback. */
export function reachable(address: string): string {
  return address.replace(/^(?:0\.0\.0\.0|\[::\]):/, '127.0.0.1:');
}
