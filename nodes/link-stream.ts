/**
 * One stream to a router, with the assignments that came on it.
 *
 *   open -> welcomed -> ended
 *
 * The router numbers its requests anew on every stream, so a number means something only here. Assignments and embeds may
 * outlive the stream: they are cancelled when it ends, hold their slots until the engine has stopped, and what they still say
 * goes nowhere.
 */
import type { Fault } from '../proto/contract/faults.ts';
import type {
  AttachRequest,
  AttachResponse,
  Embed,
  Embedded,
  LinkServiceClient,
  ModelCommand,
  ModelProgress,
  Work,
} from '../proto/gen/infermesh/v1/link.ts';
import { faultOfStatus } from '../proto/transport/service-error.ts';
import type { Assignment } from './assignment.ts';
import type { EmbedTask } from './embed-task.ts';
import { FrameWriter } from './frame.ts';

/** For the last frames and the goodbye to reach a router. */
const GOODBYE_MS = 500;

type AttachCall = ReturnType<LinkServiceClient['attach']>;
type Status = Parameters<typeof faultOfStatus>[0];

export type Frame = NonNullable<AttachRequest['frame']>;

export interface StreamEvents {
  /** `reportIntervalMs` is what the router asks for; 0: nothing. */
  readonly onWelcome: (routerId: string, reportIntervalMs: number) => void;
  /** Begins an assignment; its frames go out by `frames`. `onOver` is called once, when its engine has stopped. */
  readonly onWork: (work: Work, frames: FrameWriter, onOver: () => void) => Assignment;
  /** Begins to make vectors; `answer` takes what became of it, and `onOver` is called once, when the engine has stopped. */
  readonly onEmbed: (embed: Embed, answer: (embedded: Embedded) => void, onOver: () => void) => EmbedTask;
  /** The router wants a model loaded, unloaded or swapped; `answer` takes how far that has come. */
  readonly onCommand: (command: ModelCommand, answer: (progress: ModelProgress) => void) => void;
  /** The router wants the node to leave, and what runs to have so long. */
  readonly onDrain: (limitMs: number) => void;
  /** The stream is gone, and not by `goodbye`. */
  readonly onLost: (fault: Fault) => void;
}

export class LinkStream {
  readonly #call: AttachCall;
  readonly #events: StreamEvents;
  readonly #assignments = new Map<number, Assignment>();
  readonly #embeds = new Map<number, EmbedTask>();
  readonly #frames = new FrameWriter((progress) => this.#write({ $case: 'progress', value: progress }));
  #welcomed = false;
  #ended = false;

  /** @param introduction the frames that the router wants before it says welcome */
  constructor(call: AttachCall, introduction: readonly Frame[], events: StreamEvents) {
    this.#call = call;
    this.#events = events;
    call.on('data', (response: AttachResponse) => this.#take(response));
    call.on('error', () => {}); // The status says the same and always comes.
    call.once('status', (status: Status) => this.#lost(faultOfStatus(status)));
    this.introduce(introduction);
  }

  /** Sends frames that the router wants before it says welcome. */
  introduce(frames: readonly Frame[]): void {
    for (const frame of frames) this.#write(frame);
  }

  /** Nothing is sent before the router's welcome, nor after the end. */
  send(frame: Frame): void {
    if (this.#welcomed) this.#write(frame);
  }

  #write(frame: Frame): void {
    if (!this.#ended) this.#call.write({ frame });
  }

  #take({ frame }: AttachResponse): void {
    switch (frame?.$case) {
      case 'welcome':
        this.#welcomed = true;
        return this.#events.onWelcome(frame.value.routerId, frame.value.reportIntervalMs);
      case 'work':
        return this.#begin(frame.value);
      case 'cancel':
        return this.#assignments.get(frame.value.request)?.cancel();
      case 'credit':
        return this.#assignments.get(frame.value.request)?.credit(frame.value.bytes);
      case 'embed':
        return this.#embed(frame.value);
      case 'cancelEmbed':
        return this.#embeds.get(frame.value.request)?.cancel();
      case 'modelCommand':
        return this.#events.onCommand(frame.value, (value) => this.#write({ $case: 'modelProgress', value }));
      case 'drain':
        return this.#events.onDrain(frame.value.limitMs);
      default:
        return; // A newer router's frame that this node does not know.
    }
  }

  #begin(work: Work): void {
    // A router that has been said goodbye to takes no answer, and fails what it sent meanwhile.
    if (this.#ended) return;
    const { request } = work;
    const over = () => this.#assignments.delete(request);
    this.#assignments.set(request, this.#events.onWork(work, this.#frames, over));
  }

  #embed(embed: Embed): void {
    if (this.#ended) return;
    const { request } = embed;
    const answer = (embedded: Embedded) => this.#write({ $case: 'embedded', value: embedded });
    this.#embeds.set(
      request,
      this.#events.onEmbed(embed, answer, () => this.#embeds.delete(request)),
    );
  }

  #lost(fault: Fault): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelAll();
    this.#events.onLost(fault);
  }

  #cancelAll(): void {
    for (const one of [...this.#assignments.values(), ...this.#embeds.values()]) one.cancel();
  }

  /** Ends every assignment and embed with DRAINING, for the router to go on elsewhere. */
  handBack(): void {
    for (const one of [...this.#assignments.values(), ...this.#embeds.values()]) one.handBack();
  }

  /**
   * Sends what there is and ends the stream, whose rest the router fails. Resolves with the router's own end of it, or
   * soon after: a process that exits sooner takes unsent frames along.
   */
  async goodbye(): Promise<void> {
    if (this.#ended) return;
    this.#cancelAll();
    // The end of the last assignment may be in a frame that waits for the end of this turn.
    this.#frames.flush();
    this.#ended = true;
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(() => this.#call.cancel(), GOODBYE_MS);
      this.#call.once('status', () => {
        clearTimeout(giveUp);
        resolve();
      });
      this.#call.end();
    });
  }
}
