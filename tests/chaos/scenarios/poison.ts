import type { Fault } from '../../../client/index.ts';
import type { Scenario } from '../scenario.ts';
import { pause } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';
import { failuresOf, Load, streamFigures, WHOLE } from '../support/load.ts';

const NODES = 5;
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
  async run({ streams = 100 }) {
    const figures: Record<string, number> = { nodes_lost_to_one_prompt: 0, nodes_lost_when_asked_again: 0 };
    const reasons: string[] = [];
    const notes: string[] = [];
    for (const after of DIES_AFTER) {
      const faults = { CHAOS_POISON: 'belladonna', CHAOS_POISON_AFTER: String(after) };
      const nodes = Array.from({ length: NODES }, (_, n) => ({
        id: `node-${n + 1}`,
        replay: `rate=${RATE}`,
        slots: streams,
        faults,
      }));
      await using fleet = await Fleet.start(nodes);
      await using load = await Load.start({ routers: fleet.routers, streams, tokens: 4 * RATE, prompt: 'innocent' });
      await load.flowing(streams, RATE / 2);
      const ask = async () => {
        const before = lostOf(fleet);
        const end = await fleet.client.ask({ messages: 'belladonna', maxTokens: 100 }).then(
          () => 'finished',
          ({ reason }: Fault) => reason,
        );
        reasons.push(end);
        // A process that was killed is known to be gone only a moment later.
        await pause(300);
        return lostOf(fleet) - before;
      };
      figures.nodes_lost_to_one_prompt = Math.max(figures.nodes_lost_to_one_prompt as number, await ask());
      figures.nodes_lost_when_asked_again = Math.max(figures.nodes_lost_when_asked_again as number, await ask());
      const result = await load.stop(15_000);
      for (const [name, value] of Object.entries(streamFigures(result))) {
        figures[name] = /^(?:streams|tokens)/.test(name) ? (figures[name] ?? 0) + value : Math.max(figures[name] ?? 0, value);
      }
      notes.push(...failuresOf(result.verdicts));
    }
    figures.refused_as_poison_share = reasons.filter((reason) => reason === 'POISON_SUSPECTED').length / reasons.length;
    return { figures, notes: [...notes, `The poisonous requests ended with ${reasons.join(', ')}.`] };
  },
};

const lostOf = ({ nodes }: Fleet) => [...nodes.values()].filter(({ process }) => process.signalCode === 'SIGKILL').length;
