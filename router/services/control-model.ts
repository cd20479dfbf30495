/**
 * What operators have nodes load, unload and swap. A caller who goes away ends nothing: the nodes carry out what they
 * were told, and a swap of several nodes goes on to the last.
 */
import { checkControl, modelName, versionOf } from '../../proto/contract/control-bounds.ts';
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { ControlModelRequest } from '../../proto/gen/infermesh/v1/admin.ts';
import { ControlModelResponse } from '../../proto/gen/infermesh/v1/admin.ts';
import { ModelStage } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, PressureLevel } from '../../proto/gen/infermesh/v1/types.ts';
import type { EventStream } from '../../proto/transport/event-stream.ts';
import { framed } from '../../proto/transport/framing.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { ModelAction } from '../fleet/model-commands.ts';
import type { NodeLink } from '../fleet/node-link.ts';

type Action = NonNullable<ControlModelRequest['action']>;
type Progress = Pick<ControlModelResponse, 'stage'> & Partial<ControlModelResponse>;

const USUAL_LIMIT_MS = 30_000;
/** A caller who reads slowly misses steps, never an end. */
const MOST_HELD_BYTES = 16 * 1024;

/** @throws Fault INVALID_REQUEST, NODE_UNKNOWN, MODEL_NOT_FOUND or NO_NODE; of what a node could not do the stream tells */
export async function controlModel(request: ControlModelRequest, stream: EventStream, fleet: Fleet): Promise<void> {
  const action = checkControl(request);
  const links = request.nodes.length > 0 ? named(request.nodes, fleet) : usualNodes(action, fleet);
  const tell = (response: ControlModelResponse) => {
    const isEnd = response.stage === 'done' || response.stage === 'failed';
    if (isEnd || stream.held < MOST_HELD_BYTES) stream.write(framed(ControlModelResponse.encode(response).finish()));
  };
  const carryOut = (link: NodeLink) => carriedOut(link, action, tell);
  if (action.$case === 'swap') for (const link of links) await carryOut(link);
  else await Promise.all(links.map(carryOut));
  stream.end();
}

/** Resolves when the node is through with it, well or not. */
async function carriedOut(link: NodeLink, action: Action, tell: (response: ControlModelResponse) => void): Promise<void> {
  const model = modelOf(action);
  let last = '';
  const say = ({ stage, fraction = 0, reason = '', message = '' }: Progress) => {
    const mark = `${stage} ${Math.floor(fraction * 100)}`;
    if (mark !== last) tell({ node: link.id, model, stage, fraction, reason, message });
    last = mark;
  };
  try {
    checkVersion(link, action);
    await link.commands.run(commandOf(action), ({ stage, fraction }) => say({ stage: STAGES[stage] ?? 'waiting', fraction }));
    say({ stage: 'done', fraction: 1 });
  } catch (thrown) {
    const { reason, message } = toFault(thrown);
    say({ stage: 'failed', reason, message });
  }
}

const STAGES: Readonly<Record<number, string>> = {
  [ModelStage.MODEL_STAGE_PULLING]: 'pulling',
  [ModelStage.MODEL_STAGE_LOADING]: 'loading',
  [ModelStage.MODEL_STAGE_DRAINING]: 'draining',
};

/** The one that is asked for. */
function modelOf(action: Action): string {
  return action.$case === 'swap' ? action.value.to : action.value.model;
}

/** A node has one version of a model at a time, and knows it by its name. @throws Fault MODEL_NOT_FOUND */
function checkVersion(link: NodeLink, action: Action): void {
  const model = action.$case === 'load' ? '' : goingOf(action);
  if (versionOf(model) === '' || hasInMemory(link, model)) return;
  throw new Fault('MODEL_NOT_FOUND', 'the node has no such version of the model in memory');
}

/** The one that leaves memory. */
function goingOf(action: Exclude<Action, { $case: 'load' }>): string {
  return action.$case === 'swap' ? action.value.from : action.value.model;
}

/** Field by field: what else a caller sent is not for nodes. */
function commandOf({ $case, value }: Action): ModelAction {
  switch ($case) {
    case 'load': {
      const { model, pull, slots } = value;
      return { $case, value: { model, pull, slots, onDemand: false } };
    }
    case 'unload': {
      const { model, limitMs = USUAL_LIMIT_MS } = value;
      return { $case, value: { model: modelName(model), limitMs } };
    }
    case 'swap': {
      const { from, to, pull, limitMs = USUAL_LIMIT_MS } = value;
      return { $case, value: { from: modelName(from), to, pull, limitMs } };
    }
  }
}

/** @throws Fault NODE_UNKNOWN */
function named(ids: readonly string[], fleet: Fleet): readonly NodeLink[] {
  return [...new Set(ids)].map((id) => {
    const link = fleet.get(id);
    if (!link) throw new Fault('NODE_UNKNOWN', `no node ${id} is attached to this router`, { facts: { node: id } });
    return link;
  });
}

/** @throws Fault MODEL_NOT_FOUND or NO_NODE */
function usualNodes(action: Action, { links }: Fleet): readonly NodeLink[] {
  if (action.$case === 'load') return [best(action.value.model, links)];
  const model = goingOf(action);
  const having = links.filter((link) => hasInMemory(link, model));
  if (having.length === 0) throw new Fault('MODEL_NOT_FOUND', 'no node has the model in memory');
  return having;
}

/** One that announces it and would have to load it; else one that has it; else the one with most memory free. */
function best(model: string, links: readonly NodeLink[]): NodeLink {
  const [first] = links
    .filter(takesMore)
    .map((link) => ({ link, place: placeOf(link, model), free: freeBytes(link) }))
    .toSorted((a, b) => a.place - b.place || b.free - a.free || (a.link.id < b.link.id ? -1 : 1));
  if (!first) throw new Fault('NO_NODE', 'no node is there that could load a model now');
  return first.link;
}

function takesMore({ state, report }: NodeLink): boolean {
  const isHere = state !== NodeState.NODE_STATE_DRAINING && state !== NodeState.NODE_STATE_SUSPECT;
  return isHere && (report?.pressure?.level ?? 0) < PressureLevel.PRESSURE_LEVEL_HIGH;
}

function placeOf(link: NodeLink, model: string): number {
  if (link.isLoadable(modelName(model))) return 0;
  return hasInMemory(link, model) ? 1 : 2;
}

/** Of the machine or of a GPU, whichever has more. */
function freeBytes({ hello: { hardware }, report }: NodeLink): number {
  const free = (hardware?.memoryBytes ?? 0) - (report?.memoryUsedBytes ?? 0);
  const onGpus = (hardware?.gpus ?? []).map(({ memoryBytes }, i) => memoryBytes - (report?.gpus[i]?.memoryUsedBytes ?? 0));
  return Math.max(free, ...onGpus);
}

/** @param model a name, or one version of it */
function hasInMemory(link: NodeLink, model: string): boolean {
  const [name, digits] = [modelName(model), versionOf(model)];
  return link.models.some(
    (served) => served.name === name && served.digest.replace(/^sha256:/, '').startsWith(digits) && !link.isLoadable(name),
  );
}
