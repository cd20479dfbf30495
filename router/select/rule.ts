/** How a candidate is ruled out. Pure. */
import type { Ask, Candidate, Considered, Exclusion } from './candidate.ts';

/** What a rule looks at: all that is known of a candidate by then. */
export type Seen = Pick<Considered, 'candidate' | 'estimate' | 'judged'>;

export interface Rule {
  readonly name: string;
  /** What it rules out may pass when a slot is freed. */
  readonly busy?: boolean;
  readonly rulesOut: (candidate: Candidate, ask: Ask, seen: Seen) => boolean;
  readonly reason: (candidate: Candidate, ask: Ask, seen: Seen) => string;
}

/** The first of the rules that rules it out; undefined when none does. */
export function ruledOut(rules: readonly Rule[], seen: Seen, ask: Ask): Exclusion | undefined {
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as Rule;
    if (rule.rulesOut(seen.candidate, ask, seen)) return new RuledOut(rule, seen, ask);
  }
  return undefined;
}

/** Hundreds come up in a decision and few are ever read, so the words are found when somebody asks. */
export class RuledOut implements Exclusion {
  readonly filter: string;
  readonly busy: boolean;
  readonly #rule: Rule;
  readonly #seen: Seen;
  readonly #ask: Ask;

  constructor(rule: Rule, seen: Seen, ask: Ask) {
    this.filter = rule.name;
    this.busy = rule.busy === true;
    this.#rule = rule;
    this.#seen = seen;
    this.#ask = ask;
  }

  get reason(): string {
    return this.#rule.reason(this.#seen.candidate, this.#ask, this.#seen);
  }
}
