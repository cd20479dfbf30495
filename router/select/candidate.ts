/** What selection looks at, and what it says. All values; nothing here can change the fleet. */
import type { NodeState, ServedModel, Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { Classification, Classifier } from '../classify/classification.ts';
import type { Beliefs } from './belief.ts';
import type { Judged } from './choice.ts';
import type { Policy, Preference } from './policy.ts';

/** A model that is not in memory where it would be loaded for whoever waits for it. In milliseconds from now. */
export interface Cold {
  /** Until it serves, as expected. */
  readonly readyMs: number;
  /** Before this it cannot serve. */
  readonly soonestMs: number;
  /** It is on its way. */
  readonly loading: boolean;
  /** Why it is not loaded for anybody now; undefined: it would be. */
  readonly refused: string | undefined;
}

/** One (model, node) pair at one moment. */
export interface Candidate {
  readonly node: string;
  /** As the node says; empty when it does not. */
  readonly zone: string;
  /** Of the model there. */
  readonly state: NodeState;
  /** The state is that of this model, and not of its node. */
  readonly alone?: boolean | undefined;
  /** Not serving now, has been a moment ago, and is expected to again. */
  readonly returning: boolean;
  /** Why it is not given work though it says that it serves: its engine gives nothing, or it comes and goes. */
  readonly trouble?: 'wedged' | 'flapping' | undefined;
  /** Its breaker is open, or tries it with one request now. */
  readonly barred?: 'open' | 'probing' | undefined;
  /** For how long its engine wants to be left alone, in milliseconds. */
  readonly restsMs?: number | undefined;
  /** Undefined: its model is in memory. */
  readonly cold?: Cold | undefined;
  /** Its node is short of memory: its smaller models come first, or all others before any of its own. */
  readonly short?: 'smaller_first' | 'others_first' | undefined;
  readonly model: ServedModel;
  /** Slots that this router may still take. */
  readonly freeSlots: number;
  /** Requests generating there now. */
  readonly running: number;
  /** Accepted and not yet read, of all requests there. */
  readonly queuedPromptTokens: number;
  /** Of answers, still to come, of this router's requests there. */
  readonly expectedTokens: number;
  /** Requests in this router's line for the model that will come to it before the one who asks. */
  readonly waiting: number;
}

export type Target =
  | { readonly type: 'auto' }
  | { readonly type: 'model'; readonly name: string }
  | { readonly type: 'tier'; readonly tier: Tier };

/** What a request asks of whoever answers it. */
export interface Ask {
  readonly target: Target;
  readonly classification: Classification;
  readonly promptBytes: number;
  /** Estimates: see classify/size.ts. */
  readonly promptTokens: number;
  /** Within the bound on the answer. */
  readonly expectedOutputTokens: number;
  readonly structured: boolean;
  /** Left of the deadline, in milliseconds. */
  readonly remainingMs: number;
  /** With the caller's preference, limits and zones merged in. */
  readonly policy: Policy;
  /** False: what is believed best is taken, whatever the policy's exploration says. */
  readonly mayExplore: boolean;
  /** Unsigned, 32 bits. Every draw of the request follows from it, so a second look draws the same. */
  readonly seed: number;
  /** Where this conversation was last. */
  readonly session?: { readonly node: string; readonly model: string };
  /** Tokens of this prompt believed in that KV cache; 0: none. */
  readonly cachedTokens: (node: string, model: string) => number;
  /** The answer has begun with this model's tokens, and goes on behind them. */
  readonly resume?: { readonly model: string; readonly tokenizerDigest: string };
  /** Nodes that failed this request already. */
  readonly tried: ReadonlySet<string>;
  /** Models whose line is full. */
  readonly crowded: ReadonlySet<string>;
  /** It is for an attempt beside another, one of which will be given up. */
  readonly hedge?: boolean | undefined;
}

/** What selection knows beside the fleet. */
export interface Knowledge {
  readonly beliefs: Beliefs;
  readonly classifier: Classifier;
  /** Wall clock, in ms. */
  readonly now: number;
}

/** In milliseconds from now. */
export interface Estimate {
  readonly waitMs: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
  /** Before this no first token can come. */
  readonly soonestMs: number;
  /** What the engine works on it when it works on nothing else. */
  readonly engineMs: number;
}

export interface Considered {
  readonly candidate: Candidate;
  readonly estimate: Estimate;
  /** Why it is out of the question; undefined when it is not. */
  readonly exclusion: Exclusion | undefined;
  /** Undefined where a rule came before the figures. */
  readonly judged: Judged | undefined;
  /** Undefined where a rule kept it out of the choice. */
  readonly standing: Standing | undefined;
  /** Tokens of the prompt that its KV cache is counted on for. */
  readonly cachedTokens: number;
  /** The conversation was here last. */
  readonly session: boolean;
}

/** Where a candidate came in the choice. */
export interface Standing {
  /** Nobody is at least as good in everything and better in something, by the quality drawn. */
  readonly onFront: boolean;
  /** To the ideal point under the preference, with the drawn quality; the least wins. */
  readonly distance: number;
  /** Quality as drawn from what is believed of it; the expected one when nothing is drawn. */
  readonly drawn: number;
  /** With which its model is chosen, given everything known before the draw. */
  readonly propensity: number;
}

/** `busy` passes by itself when a slot is freed; the others do not. */
export interface Exclusion {
  readonly filter: string;
  /** Put into words when it is read. */
  readonly reason: string;
  readonly busy: boolean;
}

export interface Decision {
  /** Could start at once. */
  readonly chosen: Considered | undefined;
  /** The best one is busy, and waiting for it is better than any that is free; never beside `chosen`. */
  readonly awaited: Considered | undefined;
  /** In the order in which they were given. */
  readonly considered: readonly Considered[];
  readonly classification: Classification;
  /** Name of the policy that applied. */
  readonly policy: string;
  /** What weighed how much; the sum is 1. */
  readonly preference: Preference;
  /** By model; with those that are left out it is 0. Empty when nothing could be chosen. */
  readonly propensities: ReadonlyMap<string, number>;
  /** Another model than the one believed best was drawn. */
  readonly explored: boolean;
  /** One sentence for people; never the prompt. */
  readonly reason: string;
}
