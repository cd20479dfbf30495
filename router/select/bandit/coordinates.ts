/** Contexts as numbers, since a belief is asked for each model of each request. Pure. */
import { COMPLEXITIES, DOMAINS, TASKS } from '../../classify/classification.ts';
import type { Context } from '../belief.ts';

const places = (names: readonly string[]): ReadonlyMap<string, number> => new Map(names.map((name, place) => [name, place]));
const DOMAIN = places(DOMAINS);
const COMPLEXITY = places(COMPLEXITIES);
const TASK = places(TASKS);

/** The values of one dimension stand side by side: domains, then complexities, then tasks. */
export const AXES = DOMAINS.length + COMPLEXITIES.length + TASKS.length;

/** One number for the whole context. */
export function contextPlace({ domain, complexity, task }: Context): number {
  return (
    ((DOMAIN.get(domain) as number) * COMPLEXITIES.length + (COMPLEXITY.get(complexity) as number)) * TASKS.length +
    (TASK.get(task) as number)
  );
}

/** Names of places, for snapshots: domain:maths, task:maths. */
export const AXIS_NAMES: readonly string[] = [
  ...DOMAINS.map((name) => `domain:${name}`),
  ...COMPLEXITIES.map((name) => `complexity:${name}`),
  ...TASKS.map((name) => `task:${name}`),
];

/** By place: law/simple/chat and so on. */
export const CONTEXT_NAMES: readonly string[] = DOMAINS.flatMap((domain) =>
  COMPLEXITIES.flatMap((complexity) => TASKS.map((task) => `${domain}/${complexity}/${task}`)),
);

/** By place of a context: those of its domain, complexity and task. */
const AXES_OF: readonly (readonly number[])[] = DOMAINS.flatMap((_domain, d) =>
  COMPLEXITIES.flatMap((_complexity, c) =>
    TASKS.map((_task, t) => [d, DOMAINS.length + c, DOMAINS.length + COMPLEXITIES.length + t]),
  ),
);

export const axesOf = (place: number): readonly number[] => AXES_OF[place] as readonly number[];
