/** Observers put together. */
import type { RequestObserver, Tell, WorkObserver } from './events.ts';

/**
 * Tells both. The second one sees the request with the first one's trace context, so that a log beside spans
 * names their trace; what goes on to nodes and clients is the first one's context.
 */
export function bothRequests(first: RequestObserver, second: RequestObserver): RequestObserver {
  return {
    watch(request) {
      const one = first.watch(request);
      const two = second.watch({ ...request, traceparent: one.traceparent() });
      return {
        tell(event) {
          one.tell(event);
          two.tell(event);
        },
        traceparent: () => one.traceparent(),
        traceId: () => one.traceId(),
      };
    },
  };
}

export function bothWorks(first: WorkObserver, second: WorkObserver): WorkObserver {
  return {
    watch(work) {
      const one = first.watch(work);
      const two = second.watch(work);
      return {
        tell(event) {
          one.tell(event);
          two.tell(event);
        },
      };
    },
  };
}

export function both<Event>(first: Tell<Event>, second: Tell<Event>): Tell<Event> {
  return (event) => {
    first(event);
    second(event);
  };
}
