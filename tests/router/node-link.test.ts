import { describe, expect, it } from 'vitest';
import { Progress, Work } from '../../proto/gen/infermesh/v1/link.ts';
import type { AttemptPort } from '../../router/fleet/node-link.ts';
import { fakeLink } from './fakes.ts';

const work = Work.fromPartial({ epoch: 1, model: 'm' });

/** A port that keeps what it was told. */
function port(piece: AttemptPort['piece'] = () => {}) {
  const told: string[] = [];
  const self: AttemptPort = {
    piece: (...what) => {
      told.push('piece');
      piece(...what);
    },
    ended: () => told.push('ended'),
    lost: ({ reason }) => told.push(reason),
    fail: ({ reason }) => told.push(`fail ${reason}`),
  };
  return { self, told };
}

describe('a frame', () => {
  it('of which one piece meets a defect still brings the others theirs', () => {
    const { link } = fakeLink();
    const broken = port(() => {
      throw new TypeError('x');
    });
    const other = port();
    const [first, second] = [link.start(work, broken.self), link.start(work, other.self)];
    link.progress(
      Progress.fromPartial({
        request: [first, second],
        epoch: [1, 1],
        seq: [0, 0],
        tokens: [1, 1],
        size: [1, 1],
        data: Buffer.from('ab'),
        ended: [{ request: second, epoch: 1 }],
      }),
    );
    expect(broken.told).toEqual(['piece', 'fail INTERNAL']);
    expect(other.told).toEqual(['piece', 'ended']);
    expect(link.attempts).toBe(1);
  });
});
