/**
 * The lines of the decision log: what was chosen between, what was chosen and how it went; and later ratings of it. Pure.
 *
 * A line holds what another policy needs to be judged by the log (see replay.ts), and nothing that a user wrote: no
 * prompt, answer, label, session or idempotency key.
 */
import { z } from 'zod';
import { COMPLEXITIES, DOMAINS, TASKS } from '../classify/classification.ts';

/** Of the lines. A reader refuses others. */
export const LOG_VERSION = 1;
/** Candidates that a line holds at most. */
export const MAX_LOGGED_CANDIDATES = 64;
/** Significant digits of a line's numbers: finer than anything that is estimated. */
const DIGITS = 7;

const share = z.number().min(0).max(1);
const amount = z.number().min(0);
const count = z.int().min(0);
const reward = {
  reward: share,
  rewardWeight: share,
  /** What it was made of: figures as given, signals as what they leave; `unremarked` for silence. */
  rewardParts: z.record(z.string(), share),
};

const candidate = z.object({
  node: z.string(),
  model: z.string(),
  /** As in the .proto. */
  tier: z.int().min(0).max(4),
  zone: z.string().optional(),
  quality: z.object({ mean: share, sd: amount }),
  costUsd: amount,
  latencyMs: amount,
  firstTokenMs: amount,
  diversity: share,
});

const outcome = z.object({
  finish: z.enum(['stop', 'stop_string', 'length', 'failed', 'cancelled']),
  /** Why it failed, as in docs/errors.md. */
  fault: z.string().optional(),
  /** Absent where nothing tells how good the answer was. */
  reward: reward.reward.optional(),
  rewardWeight: reward.rewardWeight.optional(),
  rewardParts: reward.rewardParts.optional(),
  costUsd: amount,
  referenceUsd: amount,
  /** From the request's arrival to its end, and to its first token. */
  latencyMs: amount,
  firstTokenMs: amount.optional(),
  inputTokens: count,
  cachedInputTokens: count,
  outputTokens: count,
});

const decision = z
  .object({
    v: z.literal(LOG_VERSION),
    type: z.literal('decision'),
    /** When it was chosen. */
    at: z.iso.datetime(),
    request: z.string().min(1),
    tenant: z.string().optional(),
    /** Name of the policy that chose. */
    policy: z.string(),
    context: z.object({
      domain: z.enum(DOMAINS),
      complexity: z.enum(COMPLEXITIES),
      task: z.enum(TASKS),
      language: z.string(),
    }),
    preference: z.object({ cost: amount, quality: amount, latency: amount, diversity: amount }),
    /** The preference came with the request: another policy would have followed it as well. */
    ownPreference: z.boolean(),
    /** The request asked to be left out of exploration. */
    withoutExploration: z.boolean(),
    /** False where the budget for exploration was used up, or there is none: the one believed best was taken. */
    mayExplore: z.boolean(),
    /** The conversation's model, and how much nearer another had to be. */
    stayWith: z.string().optional(),
    switchMargin: share,
    candidates: z.array(candidate).min(1).max(MAX_LOGGED_CANDIDATES),
    /** Place in `candidates`. */
    chosen: count,
    explored: z.boolean(),
    /** Probability of the chosen model before the draw, and of each model that could be drawn. */
    propensity: share,
    propensities: z.record(z.string(), share),
    outcome,
  })
  .refine(({ chosen, candidates }) => chosen < candidates.length, { error: 'must be a place in candidates', path: ['chosen'] });

const feedback = z.object({
  v: z.literal(LOG_VERSION),
  type: z.literal('feedback'),
  at: z.iso.datetime(),
  request: z.string().min(1),
  tenant: z.string().optional(),
  model: z.string(),
  /** `retry`: the same prompt came again soon after. */
  cause: z.enum(['rating', 'retry']),
  /** What the answer is credited with from now on, in place of what it had. */
  ...reward,
});

const entry = z.discriminatedUnion('type', [decision, feedback]);

export type LoggedCandidate = z.infer<typeof candidate>;
export type LoggedOutcome = z.infer<typeof outcome>;
export type DecisionEntry = z.infer<typeof decision>;
export type FeedbackEntry = z.infer<typeof feedback>;
export type LogEntry = z.infer<typeof entry>;

/** One line without its end. Numbers are rounded to 7 significant digits. */
export function lineOf(entry: LogEntry): string {
  return JSON.stringify(entry, rounded);
}

export type Parsed =
  | { readonly type: 'entry'; readonly entry: LogEntry }
  | { readonly type: 'other_version'; readonly version: number | undefined }
  /** `problem` names fields and bounds, never what stands there. */
  | { readonly type: 'wrong'; readonly problem: string };

/** Reads a line back. */
export function parseLine(line: string): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { type: 'wrong', problem: 'is not JSON' };
  }
  if (typeof value !== 'object' || value === null || !('v' in value))
    return { type: 'wrong', problem: 'is not an entry of a log' };
  const { v } = value;
  if (v !== LOG_VERSION) return { type: 'other_version', version: typeof v === 'number' ? v : undefined };
  const parsed = entry.safeParse(value);
  if (parsed.success) return { type: 'entry', entry: parsed.data };
  const [issue] = parsed.error.issues;
  return { type: 'wrong', problem: `is wrong in ${issue?.path.map(String).join('.') || 'its fields'}` };
}

/** As many candidates as a line holds, in their order, and where among them the chosen one then stands. */
export function boundedCandidates<T>(candidates: readonly T[], chosen: number): { kept: readonly T[]; chosen: number } {
  if (candidates.length <= MAX_LOGGED_CANDIDATES) return { kept: candidates, chosen };
  const last = MAX_LOGGED_CANDIDATES - 1;
  if (chosen <= last) return { kept: candidates.slice(0, last + 1), chosen };
  return { kept: [...candidates.slice(0, last), candidates[chosen] as T], chosen: last };
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(DIGITS)) : value;
}
