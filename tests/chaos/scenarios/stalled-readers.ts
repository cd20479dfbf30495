import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { residentBytes } from '../../bench/support/process.ts';
import { CHAT, chatBytes, RawConnection } from '../../mesh/wire.ts';
import type { Scenario } from '../scenario.ts';
import { durationMs } from '../scenario.ts';
import { poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { loadFor, streamFigures, WHOLE } from '../support/load.ts';
import type { LoadResult } from '../support/load-process.ts';

const READERS = 100;
/** A client that does not read for so long gives up its slot. */
const SLOW_CONSUMER_MS = 30_000;
const BESIDE = { streams: 20, tokens: 100, rate: 50 };

export const stalledReaders: Scenario = {
  name: 'stalled-readers',
  does: `${READERS} clients ask for long answers and read nothing, beside ${BESIDE.streams} that read; after 30 s their slots are free.`,
  targets: [
    ...WHOLE,
    { figure: 'router_growth_mb', most: 30, unit: 'MB' },
    { figure: 'slots_held_after_35_s', most: 0, unit: 'slots' },
  ],
  async run(scale) {
    const readers = scale.streams ?? READERS;
    const nodes = [
      { id: 'torrent', model: 'torrent', replay: 'rate=0', slots: readers },
      { id: 'steady', model: 'steady', replay: `rate=${BESIDE.rate}`, slots: 100 },
    ];
    await using fleet = await Fleet.start(nodes);
    const beside = { routers: fleet.routers, model: 'steady', streams: BESIDE.streams, tokens: BESIDE.tokens };
    // What a router grows by in its first requests is not the readers' doing.
    const torrent = { ...beside, model: 'torrent', streams: readers, tokens: 2000, prompt: 'warm', again: false };
    for (let round = 0; round < 4; round++) await loadFor(torrent, 500);
    const before = await peakOf(fleet, () => loadFor({ ...beside, prompt: 'warm' }, 8000));
    await using wire = new RawConnection(fleet.address, { initialWindowSize: 65_535 });
    for (let n = 0; n < readers; n++) {
      const messages = [{ role: Role.ROLE_USER, text: `stalled ${n}` }];
      const body = chatBytes({ messages, target: { $case: 'model', value: 'torrent' }, maxTokens: 100_000 });
      wire
        .open(CHAT, body)
        .on('error', () => {})
        .pause();
    }
    const held = async () => (await fleet.client.nodes()).find(({ id }) => id === 'torrent')?.inFlight ?? 0;
    await poll(async () => ((await held()) === readers ? true : undefined), 10_000);
    const slots_held = await held();
    const ms = durationMs(scale, 35);
    let result: LoadResult = { verdicts: [], ownLagMs: 0 };
    const most = await peakOf(fleet, async () => {
      result = await loadFor({ ...beside, prompt: 'beside' }, ms);
    });
    const figures: Record<string, number> = {
      ...streamFigures(result),
      stalled_readers: slots_held,
      router_growth_mb: (most - before) / 2 ** 20,
    };
    if (ms >= SLOW_CONSUMER_MS + 4000) figures.slots_held_after_35_s = await held();
    return { figures };
  },
};

/** Resident memory of the router at its highest, while something goes on. Garbage that waits to be collected is in both. */
async function peakOf(fleet: Fleet, during: () => Promise<unknown>): Promise<number> {
  let most = 0;
  const look = () => {
    most = Math.max(most, residentBytes(fleet.router().pid));
  };
  const watch = setInterval(look, 100);
  try {
    await during();
    look();
    return most;
  } finally {
    clearInterval(watch);
  }
}
