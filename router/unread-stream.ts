/** Where an answer goes that nobody reads. */
import type { Fault } from '../proto/contract/faults.ts';
import type { ClientStream } from '../proto/transport/event-stream.ts';

export class UnreadStream implements ClientStream {
  readonly held = 0;
  onRelease: () => void = () => {};
  onGone: () => void = () => {};
  open = true;

  /** Its source asks for notice before it goes on. */
  write(_data: Buffer, notice = false): void {
    if (notice) queueMicrotask(() => this.onRelease());
  }

  end(): void {
    this.open = false;
  }

  fail(_fault: Fault): void {
    this.open = false;
  }
}
