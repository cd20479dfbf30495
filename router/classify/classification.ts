/** What is known of a prompt before anybody answers it. Types only. */
import type { Message } from '../../proto/gen/infermesh/v1/types.ts';

/** From what a small model answers as well as any, to what only the strongest are likely to. */
export const COMPLEXITIES = ['simple', 'moderate', 'complex'] as const;
export type Complexity = (typeof COMPLEXITIES)[number];

/** What a prompt is about; `general` when nothing speaks for one. */
export const DOMAINS = [
  'general',
  'maths',
  'computing',
  'physics',
  'chemistry',
  'biology',
  'medicine',
  'engineering',
  'law',
  'business',
  'economics',
  'history',
  'psychology',
  'philosophy',
  'society',
  'story',
] as const;
export type Domain = (typeof DOMAINS)[number];

/** What a prompt wants done; `chat` when nothing speaks for another. */
export const TASKS = [
  'chat',
  'question',
  'choice',
  'code',
  'maths',
  'reasoning',
  'extraction',
  'summary',
  'translation',
  'classification',
  'rewriting',
  'story',
] as const;
export type Task = (typeof TASKS)[number];

/** Tiers by strength, weakest first; as in the .proto, TIER_FAST and so on. */
export const TIERS = ['fast', 'balanced', 'quality', 'cloud'] as const;
export type TierName = (typeof TIERS)[number];

export interface Classification {
  readonly complexity: Complexity;
  /** Calibrated probability that a model of each tier suffices; never falls from one tier to the next. */
  readonly suffices: Readonly<Record<TierName, number>>;
  /** Simple and not of an examination's kind: a weaker model loses less than `suffices` says. */
  readonly everyday: boolean;
  /** How much a strong model gains over a weak one here, only to be compared: higher goes to the strong one first. */
  readonly rank: number;
  readonly domain: Domain;
  readonly task: Task;
  /** ISO 639-1, or und when unsure. */
  readonly language: string;
  /** Estimate, before any bound on the answer. */
  readonly expectedOutputTokens: number;
  /** Whether the last turn leans on the conversation and took its complexity from there. */
  readonly followUp: boolean;
  /** For `Classifier.quality`: what the models' heads read. */
  readonly factors: Float32Array;
}

/** What a classifier looks at; nothing else of the request. */
export interface Prompt {
  readonly messages: readonly Message[];
  /** A JSON schema the answer must satisfy, or empty. */
  readonly jsonSchema?: string;
}

export interface Classifier {
  classify(prompt: Prompt): Classification;
  /**
   * Expected quality of a model that the weights know, by its catalogue name or the name in the training data,
   * 0 to 1; undefined for any other.
   */
  quality(classification: Classification, model: string): number | undefined;
}
