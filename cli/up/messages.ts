/**
 * What `infermesh router` and `infermesh node` tell the process that started them, over its IPC channel where there is
 * one. The other direction has one message: closing the channel asks for an orderly end.
 */
import type { Reason } from '../../client/index.ts';
import type { Step } from '../output/progress.ts';

export type ChildMessage =
  | { readonly type: 'listening'; readonly address: string }
  | { readonly type: 'progress'; readonly step: Step }
  /** The command failed; the process ends next. */
  | { readonly type: 'failed'; readonly reason: Reason; readonly message: string };

/** Resolves when the message is on its way, or has nobody to go to. */
export function tellParent(message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
    else resolve();
  });
}
