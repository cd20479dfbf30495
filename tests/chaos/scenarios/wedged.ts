import type { Scenario } from '../scenario.ts';
import { monotonicMs, pause, poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';

const RATE = 20;
const OUT_LIMIT_MS = 30_000;

export const wedged: Scenario = {
  name: 'wedged',
  does: 'The engine of a node gives nothing any more while the node goes on reporting: once while idle, once under load.',
  targets: [
    ...WHOLE,
    { figure: 'out_when_idle_ms', most: 15_000, unit: 'ms' },
    { figure: 'out_under_load_ms', most: 15_000, unit: 'ms' },
    { figure: 'worst_gap_p99_ms', most: 900 + 1000 / RATE, unit: 'ms (900 and the pace of the tokens)' },
  ],
  async run({ streams = 100 }) {
    const faults = { CHAOS_WEDGE: '1' };
    const nodes = ['well', 'idle', 'busy'].map((id) => ({ id, replay: `rate=${RATE}`, slots: streams, faults }));
    await using fleet = await Fleet.start(nodes);
    let engines_found = 0;
    const outAfter = async (id: string) => {
      const since = monotonicMs();
      fleet.node(id).process.kill('SIGUSR2');
      if (await poll(async () => ((await isOut(fleet, id)) ? true : undefined), OUT_LIMIT_MS, 100)) engines_found++;
      return monotonicMs() - since;
    };
    // Nothing was asked of it: only the router's own look can find it.
    const out_when_idle_ms = await outAfter('idle');
    await using load = await Load.start({ routers: fleet.routers, streams, tokens: 5 * RATE, prompt: 'wedged' });
    await load.flowing(streams);
    const out_under_load_ms = await outAfter('busy');
    await pause(2000);
    const result = await load.stop(15_000);
    const figures = { ...streamFigures(result), engines_found, out_when_idle_ms, out_under_load_ms };
    return { figures, notes: failuresOf(result.verdicts) };
  },
};

/** Whether the router would give it nothing now. */
async function isOut({ client }: Fleet, id: string): Promise<boolean> {
  const { candidates } = await client.explain({ messages: 'hello' }).catch(() => ({ candidates: [] }));
  const candidate = candidates.find(({ node }) => node === id);
  return candidate === undefined || candidate.exclusion !== '';
}
