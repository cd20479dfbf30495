/** Several observers as one. */
import type { RequestObserver } from './events.ts';

/**
 * Each observer after the first sees the request with the first one's trace context, so that a log put after the
 * spans names their trace; what goes on to nodes and clients is the first one's context.
 */
export function watchAll(first: RequestObserver, ...others: readonly RequestObserver[]): RequestObserver {
  return {
    watch(request) {
      const leader = first.watch(request);
      const within = { ...request, traceparent: leader.traceparent() };
      const watches = [leader, ...others.map((observer) => observer.watch(within))];
      return {
        wantsContent: watches.some(({ wantsContent }) => wantsContent),
        tell: (event) => {
          for (const watch of watches) if (event.type !== 'content' || watch.wantsContent) watch.tell(event);
        },
        traceparent: () => leader.traceparent(),
        traceId: () => leader.traceId(),
      };
    },
  };
}
