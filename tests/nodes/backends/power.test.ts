import { describe, expect, it } from 'vitest';
import { assumedWatts, WATTS_PER_THREAD } from '../../../nodes/backends/power.ts';
import { ReplayBackend } from '../../../nodes/backends/replay.ts';
import { expectedModel } from '../../../nodes/expected-model.ts';
import { loadOptions } from '../../contract/jobs.ts';

describe('what an engine draws', () => {
  it('is assumed from its threads where nobody has said it', () => {
    expect(assumedWatts(4, 0)).toBe(4 * WATTS_PER_THREAD);
  });

  it('is unknown where a GPU does the work', () => {
    expect(assumedWatts(4, 20)).toBe(0);
  });

  it('is what the operator said, before the engine has loaded and after', async () => {
    const options = { ...loadOptions({ path: 'replay:' }), watts: 95 };
    expect(expectedModel(options.model, { engine: 'replay', slots: 4, watts: 95 }).watts).toBe(95);
    expect((await new ReplayBackend().load(options, () => {})).watts).toBe(95);
  });
});
