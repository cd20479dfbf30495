import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { monotonicMs, poll } from '../support/clock.ts';
import { loadWithDisturbance } from '../support/disturbed.ts';
import { WHOLE } from '../support/load.ts';

const RATE = 20;
const END_LIMIT_MS = 10_000;
const FULL = '/dev/full';

export const diskFull: Scenario = {
  name: 'disk-full',
  does: "The disk takes nothing more (/dev/full): the router's decision log and its log both fail at every write.",
  targets: [
    ...WHOLE,
    { figure: 'routers_lost', most: 0, unit: 'routers' },
    { figure: 'router_end_ms', most: 5000, unit: 'ms from SIGTERM until it is gone' },
  ],
  run: async (scale) => {
    if (!existsSync(FULL)) return { figures: {}, skipped: `there is no ${FULL} here` };
    const folder = mkdtempSync(join(tmpdir(), 'infermesh-chaos-log-'));
    const decisions = join(folder, 'decisions');
    mkdirSync(decisions);
    // Today's, and tomorrow's should midnight come meanwhile.
    for (const at of [Date.now(), Date.now() + 86_400_000]) {
      symlinkSync(FULL, join(decisions, `decisions-${new Date(at).toISOString().slice(0, 10)}.jsonl`));
    }
    let lost = 0;
    let router_end_ms = 0;
    try {
      const found = await loadWithDisturbance({
        nodes: 2,
        routerFlags: ['--decision-log', decisions],
        routerLog: FULL,
        rate: RATE,
        streams: scale.streams ?? 100,
        tokens: RATE,
        durationMs: durationMs(scale, 10),
        disturb: (_fleet, { everyMs }) => everyMs(1000),
        mend: async (fleet) => {
          const { exitCode, signalCode } = fleet.router().process;
          lost = exitCode !== null || signalCode !== null ? 1 : 0;
        },
        after: async (fleet) => {
          const since = monotonicMs();
          const { process } = fleet.router();
          process.kill('SIGTERM');
          await poll(() => (process.exitCode === null && process.signalCode === null ? undefined : true), END_LIMIT_MS);
          router_end_ms = monotonicMs() - since;
        },
      });
      return { ...found, figures: { ...found.figures, routers_lost: lost, router_end_ms } };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
