/** When a log cannot answer what is asked of it, in words. Pure. */
import type { ReplayReport } from './replay.ts';

const FEW = 100;
/** Effective decisions for each real one. */
const THIN = 0.05;
const UNTRIED = 0.02;
const REWARDED = 0.5;
const SILENT = 0.5;
/** Of a 95 % interval's half widths: further away is hardly chance. */
const ODD = 2;

export function warningsOf(report: Omit<ReplayReport, 'warnings'>): string[] {
  const { decisions, refused, support, figures } = report;
  const answered = decisions - refused;
  const { effectiveDecisions: effective, untried, certain, silent, meanWeight } = support;
  const warnings: string[] = [];
  if (refused > 0) {
    warnings.push(
      `the policy permits nothing that was at hand in ${percent(refused / decisions)} of the decisions, and would refuse them; the figures leave them out`,
    );
  }
  if (answered > 0 && (effective < FEW || effective < THIN * answered)) {
    warnings.push(
      `the log tells as much as ${Math.round(effective)} decisions of the policy's own: too few to go by; the policy is too different, or the log too short`,
    );
  }
  if (untried > UNTRIED) {
    warnings.push(
      `${percent(untried)} of what the policy would choose the log hardly ever tried: there the figures are the router's own expectations`,
    );
  }
  if (certain > 0.5) {
    warnings.push(
      `${percent(certain)} of the decisions left nothing to chance and tell nothing about other choices; exploration makes logs that do`,
    );
  }
  if (meanWeight) {
    const width = meanWeight.high - meanWeight.value;
    if (Math.abs(meanWeight.value - (1 - untried)) > Math.max(ODD * width, 0.02)) {
      warnings.push(
        `the weights of the decisions come to ${meanWeight.value.toFixed(2)} in the mean instead of ${(1 - untried).toFixed(2)}: the propensities do not fit the choices`,
      );
    }
  }
  const rewarded = figures.reward?.decisions ?? 0;
  if (answered > 0 && rewarded < REWARDED * answered) {
    warnings.push(`only ${percent(rewarded / answered)} of the decisions have a reward, and these may not be like the others`);
  }
  if (silent > SILENT) {
    warnings.push(
      `${percent(silent)} of the rewards are silence, which counts as what the router expected: ratings would tell how good the answers were`,
    );
  }
  return warnings;
}

function percent(share: number): string {
  return share > 0 && share < 0.01 ? 'less than 1 %' : `${Math.round(100 * share)} %`;
}
