/** A candidate on its way through the stages of a decision, and what it has in common with others. Pure. */
import type { Candidate, Considered, Estimate, Exclusion, Standing } from './candidate.ts';
import type { Judged } from './choice.ts';
import type { ModelView } from './objectives.ts';
import type { Choice } from './pick.ts';

/** What candidates with one model have in common. */
export interface Kind {
  readonly model: Candidate['model'];
  /** Outstanding on all the nodes that may serve it. */
  tokens: number;
  nodes: number;
  /** When one that is free would be done, and one that is in memory, free or not; infinite while none is. */
  soonestMs: number;
  residentMs: number;
  view: ModelView | undefined;
}

const NOT_ESTIMATED: Estimate = { waitMs: 0, firstTokenMs: 0, totalMs: 0, soonestMs: 0, engineMs: 0 };

/** The stages fill it in. */
export class Look implements Considered {
  readonly candidate: Candidate;
  readonly session: boolean;
  kind: Kind | undefined;
  estimate = NOT_ESTIMATED;
  exclusion: Exclusion | undefined;
  judged: Judged | undefined;
  cachedTokens = 0;
  overloaded = false;
  /** Its place among those chosen from. */
  index = -1;
  choice: Choice | undefined;
  #standing: Standing | undefined;

  constructor(candidate: Candidate, session: boolean) {
    this.candidate = candidate;
    this.session = session;
  }

  /** Few are ever asked for theirs. */
  get standing(): Standing | undefined {
    const { choice, index, candidate } = this;
    if (!choice) return undefined;
    this.#standing ??= {
      onFront: choice.onFront(index),
      distance: choice.distances[index] as number,
      drawn: choice.drawn[index] as number,
      propensity: choice.propensities.get(candidate.model.name) ?? 0,
    };
    return this.#standing;
  }
}

/** One for each name; one more for each that says something else of itself under the same name. */
export function kindOf(model: Candidate['model'], kinds: Map<string, Kind>): Kind {
  const known = kinds.get(model.name);
  if (known && isLike(known.model, model)) return known;
  const key = known ? `${model.name} ${model.tier} ${model.tasks}` : model.name;
  const never = Number.POSITIVE_INFINITY;
  const fresh: Kind = { model, tokens: 0, nodes: 0, soonestMs: never, residentMs: never, view: undefined };
  const kind = (known && kinds.get(key)) ?? fresh;
  kinds.set(key, kind);
  return kind;
}

function isLike(a: Candidate['model'], b: Candidate['model']): boolean {
  return a === b || (a.tier === b.tier && a.tasks.length === b.tasks.length && a.tasks.every((task, i) => task === b.tasks[i]));
}
