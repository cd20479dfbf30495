/** What is expected of a model's answer before it has earned any reward here. Pure. */
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { Tier } from '../../proto/gen/infermesh/v1/types.ts';
import type { Classification, Classifier, TierName } from '../classify/classification.ts';
import { suitability } from './suitability.ts';

/** A model made for one task does it about as well as a far larger one. */
const SPECIALIST_QUALITY = 0.85;
/**
 * Of what a weaker model loses to the strongest in examinations, the part that it loses on everyday prompts. An
 * assumption, since no public data rates them on many models; feedback corrects it.
 */
const EVERYDAY_LOSS = 0.12;
/** What a model gives that cannot do the task. */
const UNSUITED_QUALITY = 0.05;

const TIER_NAMES: Readonly<Record<number, TierName>> = {
  [Tier.TIER_FAST]: 'fast',
  [Tier.TIER_BALANCED]: 'balanced',
  [Tier.TIER_QUALITY]: 'quality',
  [Tier.TIER_CLOUD]: 'cloud',
};

/**
 * Where the classifier's weights know the model, what they say of it for this prompt; else how likely a model of its
 * tier is to suffice. A model that does not say its tier counts as of the weakest.
 * @returns 0 to 1
 */
export function priorQuality(model: ServedModel, classification: Classification, classifier: Classifier): number {
  const suited = suitability(model.tasks, classification.task);
  if (suited === 'unsuited') return UNSUITED_QUALITY;
  const { suffices, everyday } = classification;
  const measured = classifier.quality(classification, model.name) ?? suffices[TIER_NAMES[model.tier] ?? 'fast'];
  const known = everyday ? Math.max(measured, suffices.cloud - EVERYDAY_LOSS * (suffices.cloud - measured)) : measured;
  return suited === 'specialist' ? Math.max(SPECIALIST_QUALITY, known) : known;
}
