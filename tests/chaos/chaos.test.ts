/**
 * The short form of the chaos scenarios: a hundred streams, a few seconds each, and only what must be so on any machine.
 * Every stream comes whole and exact, or ends in the way it must. How fast, `npm run chaos` tells.
 */
import { describe, expect, it } from 'vitest';
import { binaryOrSkip } from '../support/redis.ts';
import type { Findings, Scenario } from './scenario.ts';
import { killNodes } from './scenarios/kill-nodes.ts';
import { killRouter } from './scenarios/kill-router.ts';
import { poison } from './scenarios/poison.ts';
import { REDIS_VALUES } from './scenarios/redis/values.ts';
import { stopNodes } from './scenarios/stop-nodes.ts';
import { wedged } from './scenarios/wedged.ts';

const WHOLE = { streams_failed: 0, tokens_lost: 0, tokens_repeated: 0, tokens_wrong: 0 };

const shortly = ({ run }: Scenario, streams: number, seconds: number): Promise<Findings> =>
  run({ streams, minutes: seconds / 60 });
/** What went wrong stands in the notes. */
const told = ({ figures, notes = [] }: Findings) => ({ ...figures, notes });

describe('streams come whole and exact', () => {
  it('while a node is killed each second and started again', async () => {
    const found = told(await shortly(killNodes, 100, 3));
    expect(found).toMatchObject({ ...WHOLE, notes: [] });
    expect(found).toHaveProperty(
      'streams_moved',
      expect.toSatisfy((moved: number) => moved > 0),
    );
  }, 60_000);

  it('while nodes stand still for 0.5 and 2 s and go on', async () => {
    const found = told(await shortly(stopNodes, 60, 4));
    expect(found).toMatchObject({ ...WHOLE, notes: [] });
  }, 60_000);

  it('when their router is killed and there is a second one', async () => {
    const found = told(await shortly(killRouter, 100, 3));
    expect(found).toMatchObject({ ...WHOLE, notes: [] });
    // On a busy machine some have ended before the last one has begun.
    expect(found).toHaveProperty(
      'streams_at_the_kill',
      expect.toSatisfy((open: number) => open > 0),
    );
  }, 60_000);
});

describe('an engine that is wedged', () => {
  it('is left by its streams, and given nothing more', async () => {
    const found = told(await shortly(wedged, 40, 3));
    expect(found).toMatchObject({ ...WHOLE, notes: [], engines_found: 2 });
  }, 90_000);
});

describe('a poisonous prompt', () => {
  it('takes two engines with it at most, is refused from then on, and harms no other stream', async () => {
    const found = await shortly(poison, 60, 3);
    expect(found.figures).toMatchObject({ ...WHOLE, refused_as_poison_share: 1, nodes_lost_when_asked_again: 0 });
    expect(found.figures.nodes_lost_to_one_prompt).toBeLessThanOrEqual(2);
  }, 60_000);
});

describe('a Redis that two routers share', () => {
  it('fails no request and gives no wrong answer while sealed values are put under the names of others', async (context) => {
    await binaryOrSkip(context);
    const forged = REDIS_VALUES.find(({ name }) => name === 'redis-forged-values') as Scenario;
    const { figures } = await shortly(forged, 30, 4);
    expect(figures).toMatchObject({ requests_failed: 0, answers_wrong: 0, log_lines_too_many: 0 });
    expect(figures.from_redis_share_when_well).toBeGreaterThan(0);
  }, 60_000);
});
