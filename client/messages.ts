/** What a router sends in a call that no other router could go on with. */
import type { Router, Streaming } from './router.ts';
import type { Routers } from './routers.ts';

/** Leaving the iteration, or the signal, ends the call. @throws Fault, out of the iteration */
export async function* messagesOf<T>(
  routers: Routers,
  start: (router: Router) => Streaming<T>,
  signal?: AbortSignal,
): AsyncGenerator<T, void, void> {
  if (signal?.aborted) return;
  const router = routers.inUse;
  const call = start(router);
  const abort = () => call.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    yield* call.messages;
  } catch (thrown) {
    const fault = call.fault(thrown);
    routers.after(router, fault);
    throw fault;
  } finally {
    signal?.removeEventListener('abort', abort);
    call.cancel();
  }
}
