/** A node that says what it likes: a bare LinkService client. */
import { once } from 'node:events';
import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { credentials, Metadata } from '@grpc/grpc-js';
import { deltaMessage } from '../../nodes/frame.ts';
import type { Fault } from '../../proto/contract/faults.ts';
import type { AttachRequest, AttachResponse, ModelCommand, Progress, Work } from '../../proto/gen/infermesh/v1/link.ts';
import { Inventory, LinkServiceClient, ModelProgress, ModelStage, Report } from '../../proto/gen/infermesh/v1/link.ts';
import type { ModelLoad } from '../../proto/gen/infermesh/v1/types.ts';
import { FinishReason, ModelState, NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { bearer } from '../../proto/transport/join-token.ts';
import { faultOfStatus } from '../../proto/transport/service-error.ts';
import { TOKEN } from '../support/mesh.ts';

export type Frame = NonNullable<AttachRequest['frame']>;

export interface FakeNodeOptions {
  readonly id?: string;
  readonly epoch?: number;
  /** null sends none. */
  readonly token?: string | null;
}

export class FakeNode implements Disposable {
  /** What the router ended the stream with. */
  readonly ended: Promise<Fault>;
  readonly call: ClientDuplexStream<AttachRequest, AttachResponse>;
  readonly #client: LinkServiceClient;
  readonly #id: string;
  readonly #came: AttachResponse[] = [];

  constructor(address: string, { id = 'fake', epoch = 1, token = TOKEN }: FakeNodeOptions = {}) {
    this.#id = id;
    this.#client = new LinkServiceClient(address, credentials.createInsecure());
    const metadata = new Metadata();
    if (token !== null) metadata.set('authorization', bearer(token));
    this.call = this.#client.attach(metadata);
    this.call.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.call.once('status', (status: StatusObject) => resolve(faultOfStatus(status)));
    });
    this.call.on('data', (response: AttachResponse) => this.#came.push(response));
    this.hello(epoch);
  }

  hello(epoch: number): void {
    const value = { nodeId: this.#id, epoch, version: '0', zone: '', labels: {} };
    this.send({ $case: 'hello', value });
  }

  send(frame: Frame): void {
    this.call.write({ frame });
  }

  /** Says that it serves, with what `claims` says of the model. */
  serve(claims: Partial<ServedModel> = {}): void {
    const model = ServedModel.fromPartial({ name: 'fake', slots: 4, contextLength: 4096, ...claims });
    this.send({ $case: 'inventory', value: Inventory.fromPartial({ models: [model] }) });
    this.report();
  }

  /** Announces models, each with its state, and how long loading it takes if that matters. */
  announce(
    models: Readonly<Record<string, ModelState>>,
    { loadMs = 5000, ...claims }: Partial<ServedModel & ModelLoad> = {},
  ): void {
    const all = Object.keys(models).map((name) => ServedModel.fromPartial({ slots: 4, contextLength: 4096, ...claims, name }));
    this.send({ $case: 'inventory', value: Inventory.fromPartial({ models: all }) });
    this.states(models, { loadMs });
  }

  /** Reports how its models are. */
  states(
    models: Readonly<Record<string, ModelState>>,
    { loadMs = 5000, ...report }: Partial<Report> & { loadMs?: number } = {},
  ): void {
    const freeSlots = (state: ModelState) => (state === ModelState.MODEL_STATE_SERVING ? 4 : 0);
    const loads = Object.entries(models).map(([model, state]) => ({ model, state, loadMs, freeSlots: freeSlots(state) }));
    this.report(Report.fromPartial({ state: NodeState.NODE_STATE_SERVING, loads, ...report }));
  }

  report(report: Partial<Report> = {}): void {
    this.send({ $case: 'report', value: Report.fromPartial({ state: NodeState.NODE_STATE_SERVING, ...report }) });
  }

  progress(columns: Partial<Progress>): void {
    const none: Progress = { request: [], epoch: [], seq: [], tokens: [], size: [], data: Buffer.alloc(0), ended: [] };
    this.send({ $case: 'progress', value: { ...none, ...columns } });
  }

  /** Answers with one token. */
  answer({ request, epoch }: Work, text = 'yes'): void {
    const data = deltaMessage(0, 1, text);
    const finish = { $case: 'finish', value: { reason: FinishReason.FINISH_REASON_STOP } } as const;
    const ended = [{ request, epoch, tokens: 1, outcome: finish }];
    this.progress({ request: [request], epoch: [epoch], seq: [0], tokens: [1], size: [data.length], data, ended });
  }

  /** The next model command that the router gives it. */
  async command(): Promise<ModelCommand> {
    const { value } = await this.#next('modelCommand');
    return value as ModelCommand;
  }

  /** How far a command has come; done unless it says otherwise. */
  modelProgress({ command }: ModelCommand, progress: Partial<ModelProgress> = {}): void {
    const stage = ModelStage.MODEL_STAGE_DONE;
    this.send({ $case: 'modelProgress', value: ModelProgress.fromPartial({ command, stage, ...progress }) });
  }

  /** The next work that the router gives it. */
  async work(): Promise<Work> {
    const { value } = await this.#next('work');
    return value as Work;
  }

  /** Frames of a kind that came and that nobody asked for. */
  unread(kind: string): number {
    return this.#came.filter(({ frame }) => frame?.$case === kind).length;
  }

  async #next(wanted: string): Promise<{ value: unknown }> {
    for (;;) {
      const at = this.#came.findIndex(({ frame }) => frame?.$case === wanted);
      const [found] = at < 0 ? [] : this.#came.splice(at, 1);
      if (found?.frame) return found.frame;
      await once(this.call, 'data');
    }
  }

  [Symbol.dispose](): void {
    this.call.cancel();
    this.#client.close();
  }
}
