import type { Member } from '../../support/mesh.ts';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { pause } from '../support/clock.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const RATE = 20;

export const duplicateIds: Scenario = {
  name: 'duplicate-ids',
  does: 'Every 3 s a second process with the id of a running node joins; the newer takes over and the older is fenced.',
  targets: [
    ...WHOLE,
    { figure: 'worst_gap_p99_ms', most: 250 + 1000 / RATE, unit: 'ms (250 and the pace of the tokens)' },
    { figure: 'seen_twice', most: 0, unit: 'times that the fleet had an id twice' },
  ],
  async run(scale) {
    const older: Member[] = [];
    let seenTwice = 0;
    const streams = scale.streams ?? 200;
    try {
      const found = await loadWithDisturbance({
        nodes: 3,
        rate: RATE,
        streams,
        tokens: 8 * RATE,
        durationMs: durationMs(scale, 20),
        async disturb(fleet, { everyMs }) {
          older.push(fleet.node('node-1'));
          fleet.startNode('node-1');
          await pause(1500);
          const ids = (await fleet.client.nodes()).map(({ id }) => id);
          if (new Set(ids).size < ids.length) seenTwice++;
          await everyMs(3000);
        },
      });
      return { ...found, figures: { ...found.figures, seen_twice: seenTwice } };
    } finally {
      await Promise.all(older.map((member) => member.stop('SIGKILL')));
    }
  },
};
