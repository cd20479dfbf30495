/** A process that keeps its control group's memory filled to the share of the limit that it was told last. */
import { openCgroup } from '../../telemetry/host/cgroup.ts';

const STEP = 4 * 2 ** 20;
const group = openCgroup();
const held: Buffer[] = [];
let share = 0;

function fill(): void {
  const [memory] = group?.limits() ?? [];
  if (!memory || memory.usedBytes + STEP > share * memory.limitBytes) return;
  held.push(Buffer.alloc(STEP, 1));
  setImmediate(fill);
}

process.on('message', (told: number) => {
  share = told;
  fill();
});
process.on('disconnect', () => process.exit());
setInterval(fill, 100);
