/** Equal requests at the same moment: how often their answer is generated, at one router and at two that share Redis. */
import { percentile } from '../report.ts';
import type { Asked } from './asking.ts';
import { ask, spentWhile, startAsked } from './asking.ts';
import type { Answer } from './clients.ts';

const TOKENS = 40;
const NODE = { engine: 'replay', model: 'canned', replay: `rate=100,length=${TOKENS}`, slots: 64 } as const;
/** Streams of one connection are bounded. */
const CONNECTIONS = 8;

export interface StampedeOptions {
  readonly requests: number;
  readonly redisUrl: string;
}

export async function stampede({ requests, redisUrl }: StampedeOptions): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  {
    await using one = await startAsked([NODE], []);
    Object.assign(figures, await stampeded('stampede', one, requests));
  }
  await using two = await startAsked([NODE], ['--redis', redisUrl], 2);
  return { ...figures, ...(await stampeded('stampede_two_routers', two, requests)) };
}

async function stampeded(name: string, mesh: Asked, count: number): Promise<Record<string, number>> {
  const all = (text: string, size: number) =>
    Array.from({ length: size }, (_, n) => ({ text, maxTokens: 512, temperature: 0, to: n % mesh.addresses.length }));
  await ask(mesh, all('before everybody comes', 100), { atOnce: 10, connections: CONNECTIONS });
  let answers: readonly Answer[] = [];
  const { tokens } = await spentWhile(mesh, async () => {
    answers = await ask(mesh, all('what everybody asks at once', count), { atOnce: count, connections: CONNECTIONS });
  });
  return {
    [`${name}_requests`]: answers.length,
    [`${name}_generations`]: tokens / TOKENS,
    [`${name}_p99_ms`]: percentile(
      answers.map(({ ms }) => ms),
      0.99,
    ),
  };
}
