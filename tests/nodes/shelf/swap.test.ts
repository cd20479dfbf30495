/** Engines that answer, with a load of requests on them while one takes over from another. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { replayText } from '../../../nodes/backends/replay-tokens.ts';
import { REAL_DEPS } from '../../../nodes/engine/child-engine.ts';
import { createEngine } from '../../../nodes/engine/index.ts';
import { Shelf } from '../../../nodes/shelf/shelf.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';
import { servedModel } from '../fakes.ts';

const TOKENS = 40;
const RATE = 400;

function shelfOfVersions(): Shelf {
  const shelf = new Shelf({
    source: {
      prepare: async (model) => {
        const options = loadOptions({ path: `replay:rate=${RATE}`, name: 'm', digest: `sha256:${model.slice(2)}` }, 4);
        const served = servedModel({ name: 'm', digest: options.model.digest });
        return { served, needBytes: 10, remote: false, makeEngine: () => createEngine('replay', options) };
      },
    },
    budgetBytes: 20,
    freeBytes: () => 20,
    measure: () => 0,
    clock: REAL_DEPS,
    tell() {},
  });
  return shelf;
}

it('loses no answer while versions of a model take over from each other', async () => {
  const shelf = shelfOfVersions();
  await shelf.load('m@aaaaaaaa', {});
  let stopped = false;
  const engines = new Set<unknown>();
  const ask = async (prompt: string) => {
    const resident = shelf.place('m')?.current;
    if (!resident) throw new Error('nobody takes work');
    engines.add(resident.engine);
    const recorder = new Recorder();
    const job = jobOf(prompt, { maxTokens: TOKENS });
    const handBack = () => expect.unreachable('work was handed back');
    resident.begin((over) => {
      resident.engine.generate(job, recorder);
      void recorder.ended.then(over);
      return { handBack };
    });
    expect((await recorder.ended).outcome).toMatchObject({ type: 'finish' });
    expect(recorder.text).toBe(replayText(job.messages, TOKENS));
  };
  const caller = async (id: number) => {
    for (let n = 0; !stopped; n++) await ask(`${id} ${n}`);
  };
  const callers = [1, 2, 3].map(caller);
  for (const version of ['bbbbbbbb', 'cccccccc', 'dddddddd', 'eeeeeeee']) {
    await shelf.swap('m', `m@${version}`, { limitMs: 60_000 });
    expect(shelf.place('m')?.served.digest).toBe(`sha256:${version}`);
    await turn();
  }
  stopped = true;
  await Promise.all(callers);
  expect(engines.size).toBeGreaterThanOrEqual(4);
  await shelf.dispose();
});
