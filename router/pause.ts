import type { Clock } from './clock.ts';
import { onAbort } from './on-abort.ts';

/** Resolves after so long, or rejects with the signal's reason. */
export function pause(clock: Pick<Clock, 'after'>, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancel = clock.after(ms, resolve);
  const listening = onAbort(signal, reject);
  return promise.finally(() => {
    cancel();
    listening[Symbol.dispose]();
  });
}
