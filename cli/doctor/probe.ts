/** Short questions to what may or may not listen. */
import { once } from 'node:events';
import { connect } from 'node:net';

const PATIENCE_MS = 1500;

/** @returns the answer to a GET, or undefined where nobody answers with success in time */
export async function httpGet(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), redirect: 'error' });
    return response.ok ? (await response.text()).slice(0, 10_000) : undefined;
  } catch {
    return undefined;
  }
}

/** @returns the first bytes that come back, empty where none do in time, or undefined where nobody listens */
export async function tcpAsk(host: string, port: number, question = ''): Promise<string | undefined> {
  const socket = connect({ host, port });
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    await once(socket, 'connect', { signal });
    if (question === '') return '';
    socket.write(question);
    const [answer] = await once(socket, 'data', { signal });
    return String(answer);
  } catch {
    return socket.readyState === 'open' ? '' : undefined;
  } finally {
    socket.destroy();
  }
}
