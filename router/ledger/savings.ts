/** What an answer cost, and what it would have cost from the model that it is compared with. Pure. */
import type { ServedModel, Usage } from '../../proto/gen/infermesh/v1/types.ts';
import type { Extent } from '../select/estimate.ts';
import { costOf } from '../select/objectives.ts';
import type { Policy } from '../select/policy.ts';

type Tokens = Pick<Usage, 'inputTokens' | 'outputTokens'>;
type Terms = Pick<Policy, 'reference' | 'usdPerKwh'>;

/**
 * In US dollars: tokens x price, else power x time. The time is what the tokens take at the model's measured rates, not
 * what it took by the clock: requests that share an engine would each be billed for all of it.
 */
export function billOf(model: ServedModel, usage: Tokens, usdPerKwh: number): number {
  const { inputTokens: promptTokens, outputTokens: expectedOutputTokens } = usage;
  return costOf(model, { promptTokens, expectedOutputTokens }, engineMsOf(model, usage), usdPerKwh);
}

/**
 * Of an answer that was given up, or broke off: its prompt and what came of it; where the provider goes on and charges,
 * all of it that was expected.
 * @param goesOn whether the engine was at work when nobody wanted the rest any more
 */
export function billOfPart(model: ServedModel, expected: Extent, tokens: number, goesOn: boolean, usdPerKwh: number): number {
  const isCharged = goesOn && model.billsAfterDisconnect;
  if (tokens === 0 && !isCharged) return 0;
  const outputTokens = isCharged ? Math.max(tokens, expected.expectedOutputTokens) : tokens;
  return billOf(model, { inputTokens: expected.promptTokens, outputTokens }, usdPerKwh);
}

/**
 * The same tokens from the policy's reference model, where it could have answered, else from the strongest that could;
 * what it really cost where that one did answer. For a model without a price the time follows from its measured rates.
 * @param able models that could have answered, the chosen one among them
 */
export function referenceCost(
  chosen: ServedModel,
  costUsd: number,
  usage: Tokens,
  able: readonly ServedModel[],
  { reference, usdPerKwh }: Terms,
): number {
  const model = able.find(({ name }) => name === reference) ?? strongest([chosen, ...able]);
  if (model.name === chosen.name) return costUsd;
  return billOf(model, usage, usdPerKwh);
}

/** By tier, then price of the answer, then size; names decide between equals. */
export function strongest(models: readonly [ServedModel, ...ServedModel[]]): ServedModel {
  return models.reduce((best, model) => (stronger(model, best) ? model : best));
}

function stronger(a: ServedModel, b: ServedModel): boolean {
  const order =
    a.tier - b.tier || outputPrice(a) - outputPrice(b) || Number(a.sizeBytes) - Number(b.sizeBytes) || (a.name < b.name ? 1 : -1);
  return a.name !== b.name && order > 0;
}

const outputPrice = ({ price }: ServedModel) => price?.outputUsdPerMillion ?? 0;

function engineMsOf(model: ServedModel, { inputTokens, outputTokens }: Tokens): number {
  const { prefillTokensPerSecond: prefill, decodeTokensPerSecond: decode } = model;
  return 1000 * ((prefill > 0 ? inputTokens / prefill : 0) + (decode > 0 ? outputTokens / decode : 0));
}
