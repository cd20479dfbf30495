/** The model commands that one node has been given: each has one end, which is the node's last word on it or its loss. */
import { Fault } from '../../proto/contract/faults.ts';
import { faultNamed } from '../../proto/contract/status.ts';
import type { ModelCommand, ModelProgress } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';

export type ModelAction = NonNullable<ModelCommand['action']>;
export type OnStage = (progress: Pick<ModelProgress, 'stage' | 'fraction'>) => void;

/** That one node may have at a time. */
const MOST_OPEN = 256;

interface Open {
  readonly onStage: OnStage;
  readonly resolve: () => void;
  readonly reject: (fault: Fault) => void;
}

export class ModelCommands {
  readonly #send: (command: ModelCommand) => void;
  readonly #open = new Map<number, Open>();
  #next = 1;
  #lost: Fault | undefined;

  constructor(send: (command: ModelCommand) => void) {
    this.#send = send;
  }

  /**
   * @param onStage hears how far it has come; never of its end
   * @throws Fault as the node failed, QUEUE_FULL, or NODE_LOST with the node, which may go on with it all the same
   */
  run(action: ModelAction, onStage: OnStage): Promise<void> {
    if (this.#lost) return Promise.reject(this.#lost);
    if (this.#open.size >= MOST_OPEN) {
      return Promise.reject(new Fault('QUEUE_FULL', `the node has ${MOST_OPEN} model commands to carry out already`));
    }
    const command = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#open.set(command, { onStage, resolve, reject });
    this.#send({ command, action });
    return promise;
  }

  /** One that nobody waits for is nothing to the router. */
  progressed({ command, stage, fraction, failure }: ModelProgress): void {
    const open = this.#open.get(command);
    if (!open) return;
    if (!failure && stage !== ModelStage.MODEL_STAGE_DONE) return open.onStage({ stage, fraction });
    this.#open.delete(command);
    if (failure) open.reject(faultNamed(failure));
    else open.resolve();
  }

  lost(fault: Fault): void {
    this.#lost = fault;
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { reject } of open) reject(fault);
  }
}
