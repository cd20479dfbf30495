import { beforeEach, describe, expect, it } from 'vitest';
import { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import { identityOf, KnownModels } from '../../../router/reuse/models.ts';
import { FakeClock } from '../../support/clock.ts';

const HOUR_MS = 3_600_000;
const model = (more: Partial<ServedModel> = {}) =>
  ServedModel.fromPartial({ name: 'm', digest: 'sha256:1', engine: 'llama-cpp', engineVersion: '3', ...more });

let clock: FakeClock;
let links: { models: ServedModel[] }[];
let changed: () => void;
let known: KnownModels;

beforeEach(() => {
  clock = new FakeClock();
  links = [];
  const onChange = (listener: () => void) => {
    changed = listener;
    return () => {};
  };
  known = new KnownModels({
    clock,
    fleet: {
      get links() {
        return links;
      },
      onChange,
    },
  });
});

const serve = (...models: ServedModel[]) => {
  links = models.map((one) => ({ models: [one] }));
  changed();
};

describe('the models whose answers may be given again', () => {
  it('are those that are served, each once', () => {
    expect(known.of('m')).toEqual([]);
    serve(model(), model(), model({ digest: 'sha256:2' }));
    expect(known.of('m')).toEqual([identityOf(model()), identityOf(model({ digest: 'sha256:2' }))]);
    expect(known.of('other')).toEqual([]);
  });

  it.each([{ digest: 'sha256:2' }, { engine: 'ollama' }, { engineVersion: '4' }])('are others with %j', (more) => {
    serve(model());
    const before = identityOf(model());
    expect(known.has(before)).toBe(true);
    serve(model(more));
    expect(known.has(before)).toBe(false);
    expect(known.has(identityOf(model(more)))).toBe(true);
  });

  it('stay what they were for a day after their last node has gone', () => {
    serve(model());
    known.of('m');
    serve();
    clock.advance(23 * HOUR_MS);
    expect(known.has(identityOf(model()))).toBe(true);
    clock.advance(HOUR_MS);
    expect(known.has(identityOf(model()))).toBe(false);
  });
});
