import type { Fault } from '../../../client/index.ts';
import type { Scenario } from '../scenario.ts';
import { answerSeconds } from '../scenario.ts';
import { pause } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';

const WORD = 'belladonna';
/** Enough for two prompts that take two each. */
const NODES = 6;
const RATE = 50;
/** The engines die at the prompt, or a few tokens into the answer. */
const DIES_AFTER = [0, 3];

export const poison: Scenario = {
  name: 'poison',
  does: 'A prompt kills every engine that reads it, at once or after 3 tokens; other streams run on the same nodes.',
  targets: [
    ...WHOLE,
    { figure: 'nodes_lost_to_one_prompt', most: 2, unit: 'nodes' },
    { figure: 'nodes_lost_when_asked_again', most: 0, unit: 'nodes' },
    { figure: 'refused_as_poison_share', least: 1, unit: 'of the poisonous requests' },
  ],
  async run(scale) {
    const { streams = 100 } = scale;
    const tokens = RATE * answerSeconds(scale, 4);
    const faults = { CHAOS_POISON: WORD };
    const nodes = Array.from({ length: NODES }, (_, n) => ({
      id: `node-${n + 1}`,
      replay: `rate=${RATE}`,
      slots: streams,
      faults,
    }));
    await using fleet = await Fleet.start(nodes);
    await using load = await Load.start({ routers: fleet.routers, streams, tokens, prompt: 'innocent' });
    await load.flowing(streams, RATE / 2);
    const ends: string[] = [];
    const ask = async (messages: string) => {
      const before = lostOf(fleet);
      const end = await fleet.client.ask({ messages, maxTokens: 100 }).then(
        () => 'finished',
        ({ reason }: Fault) => reason,
      );
      ends.push(end);
      // A process that was killed is known to be gone only a moment later.
      await pause(300);
      return lostOf(fleet) - before;
    };
    const lost: number[] = [];
    const again: number[] = [];
    for (const after of DIES_AFTER) {
      lost.push(await ask(`${WORD} ${after}`));
      again.push(await ask(`${WORD} ${after}`));
    }
    const result = await load.stop(15_000);
    return {
      figures: {
        ...streamFigures(result),
        nodes_lost_to_one_prompt: Math.max(...lost),
        nodes_lost_when_asked_again: Math.max(...again),
        refused_as_poison_share: ends.filter((end) => end === 'POISON_SUSPECTED').length / ends.length,
      },
      notes: [...failuresOf(result.verdicts), `The poisonous requests ended with ${ends.join(', ')}.`],
    };
  },
};

const lostOf = ({ nodes }: Fleet) => [...nodes.values()].filter(({ process }) => process.signalCode === 'SIGKILL').length;
