/** What must be so when nothing runs any more. */
import { expect } from 'vitest';
import type { Mesh } from '../../client/index.ts';

const AT_REST = { requestsOpen: 0, requestsWaiting: 0, attemptsOpen: 0, inFlight: 0 };

/** Fails when the router goes on holding something after the last request: a count that drifted, or an engine that goes on. */
export async function expectAtRest({ client }: { readonly client: Mesh }, timeoutMs = 15_000): Promise<void> {
  const held = async () => {
    const [{ requestsOpen, requestsWaiting, attemptsOpen }, nodes] = await Promise.all([client.stats(), client.nodes()]);
    return { requestsOpen, requestsWaiting, attemptsOpen, inFlight: nodes.reduce((sum, { inFlight }) => sum + inFlight, 0) };
  };
  await expect.poll(held, { timeout: timeoutMs, interval: 20 }).toEqual(AT_REST);
}
