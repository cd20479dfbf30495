/** A router's command about a model, worked off on the shelf; what becomes of it goes back by its number. */
import { MODEL_NAME } from '../../proto/contract/bounds.ts';
import type { Fault, Violation } from '../../proto/contract/faults.ts';
import { invalid, toFault } from '../../proto/contract/faults.ts';
import type { ModelCommand, ModelProgress } from '../../proto/gen/infermesh/v1/link.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import { wireFailure } from '../wire-failure.ts';
import { nameIn } from './faults.ts';
import type { ModelShelf, OnStep } from './view.ts';

const VERSION = /^[0-9a-f]{8,64}$/;
const MOST_SLOTS = 16_384;
const LONGEST_DRAIN_MS = 3_600_000;
/** Progress within a stage is told in steps of so much. */
const STEP = 0.01;

type Action = NonNullable<ModelCommand['action']>;

/** @param answer takes how far it has come; the last is done, or has a failure */
export function obey(shelf: ModelShelf, { command, action }: ModelCommand, answer: (progress: ModelProgress) => void): void {
  let last = { stage: ModelStage.MODEL_STAGE_UNSPECIFIED as ModelStage, fraction: 0 };
  const onStep: OnStep = (step) => {
    const fraction = Math.min(1, Math.max(0, step.fraction));
    if (step.stage === last.stage && Math.abs(fraction - last.fraction) < STEP) return;
    last = { stage: step.stage, fraction };
    answer({ command, ...last });
  };
  const fail = (fault: Fault) => answer({ command, ...last, failure: wireFailure(fault) });
  void worked(shelf, action, onStep).catch((thrown: unknown) => fail(toFault(thrown)));
}

async function worked(shelf: ModelShelf, action: Action | undefined, onStep: OnStep): Promise<void> {
  switch (action?.$case) {
    case 'load': {
      const { model, slots, pull, onDemand } = action.value;
      check([...versionProblems('model', model), ...slotProblems(slots)]);
      return shelf.load(model, { slots, pull, onDemand }, onStep);
    }
    case 'unload': {
      const { model, limitMs } = action.value;
      check(nameProblems('model', model));
      return shelf.unload(model, Math.min(LONGEST_DRAIN_MS, limitMs), onStep);
    }
    case 'swap': {
      const { from, to, pull, limitMs } = action.value;
      check([...nameProblems('from', from), ...versionProblems('to', to)]);
      return shelf.swap(from, to, { pull, limitMs: Math.min(LONGEST_DRAIN_MS, limitMs) }, onStep);
    }
    default:
      throw invalid([{ field: 'action', description: 'must be load, unload or swap, received another' }]);
  }
}

function check(problems: readonly Violation[]): void {
  if (problems.length > 0) throw invalid(problems);
}

/** What came is not repeated: it may be anything. */
function nameProblems(field: string, name: string): Violation[] {
  if (MODEL_NAME.test(name)) return [];
  return [{ field, description: `must be the name of a model, received ${name.length} characters` }];
}

function versionProblems(field: string, model: string): Violation[] {
  const name = nameIn(model);
  const version = model.slice(name.length + 1);
  if (MODEL_NAME.test(name) && (name === model || VERSION.test(version))) return [];
  const form = 'must be NAME, or NAME@ and 8 to 64 hex digits of a digest';
  return [{ field, description: `${form}, received ${model.length} characters` }];
}

function slotProblems(slots: number | undefined): Violation[] {
  if (slots === undefined || (slots >= 1 && slots <= MOST_SLOTS)) return [];
  return [{ field: 'slots', description: `must be from 1 to ${MOST_SLOTS}, received ${slots}` }];
}
