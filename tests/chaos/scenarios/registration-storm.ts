import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { TOKEN } from '../../support/mesh.ts';
import type { Scenario } from '../scenario.ts';
import { monotonicMs, pause, poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';

const NODES = 1000;
const RATE = 20;
const SWARM = fileURLToPath(new URL('../support/node-swarm.ts', import.meta.url));

export const registrationStorm: Scenario = {
  name: 'registration-storm',
  does: `${NODES} nodes register within a second, report for 5 s, and are all gone at once, while streams run on an old one.`,
  targets: [...WHOLE, { figure: 'nodes_in_the_fleet', least: NODES, unit: 'nodes' }],
  async run({ streams = 100 }) {
    await using fleet = await Fleet.start([{ id: 'old', replay: `rate=${RATE}`, slots: streams }]);
    await using load = await Load.start({ routers: fleet.routers, model: 'canned', streams, tokens: 2 * RATE, prompt: 'storm' });
    await load.flowing(streams);
    const beganAt = monotonicMs();
    const swarm = fork(SWARM, [fleet.address, TOKEN, String(NODES), '1000'], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    try {
      const inFleet = async () =>
        (await fleet.client.nodes()).filter(({ id, models }) => id.startsWith('swarm') && models.length > 0);
      const all = await poll(async () => ((await inFleet()).length === NODES ? monotonicMs() - beganAt : undefined), 30_000, 200);
      await pause(5000);
      const nodes_in_the_fleet = (await inFleet()).length;
      swarm.kill('SIGKILL');
      const goneFrom = monotonicMs();
      const none = await poll(async () => ((await inFleet()).length === 0 ? monotonicMs() - goneFrom : undefined), 15_000, 100);
      const result = await load.stop(15_000);
      return {
        figures: {
          ...streamFigures(result),
          nodes_in_the_fleet,
          ...(all === undefined ? {} : { all_registered_after_ms: all }),
          ...(none === undefined ? {} : { all_gone_after_ms: none }),
        },
        notes: failuresOf(result.verdicts),
      };
    } finally {
      if (swarm.exitCode === null && swarm.signalCode === null) {
        swarm.kill('SIGKILL');
        await once(swarm, 'exit');
      }
    }
  },
};
