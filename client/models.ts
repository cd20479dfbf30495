/** Models that nodes load, unload and swap, as a program asks for it. */
import { checkControl } from '../proto/contract/control-bounds.ts';
import { Fault, isReason } from '../proto/contract/faults.ts';
import type { ControlModelRequest, ControlModelResponse } from '../proto/gen/infermesh/v1/admin.ts';
import { messagesOf } from './messages.ts';
import type { Routers } from './routers.ts';

export interface ControlOptions {
  /** Ids, up to 256. Absent: for a load the one node that fits best, else every node that has the model in memory. */
  readonly nodes?: readonly string[];
  /** Ends the telling; the nodes go on. */
  readonly signal?: AbortSignal;
}

export interface LoadOptions extends ControlOptions {
  /** Lets the node fetch the weights where they are missing. */
  readonly pull?: boolean;
  /** 1 to 16,384; absent: as the node was started. */
  readonly slots?: number;
}

export interface UnloadOptions extends ControlOptions {
  /** How long what runs may go on, in milliseconds, 0 to 3,600,000; absent: 30,000. What is left then goes on elsewhere. */
  readonly limitMs?: number;
}

export type SwapOptions = UnloadOptions & Pick<LoadOptions, 'pull'>;

/** How far one node has come. */
export interface ModelStep {
  readonly node: string;
  readonly model: string;
  readonly stage: 'waiting' | 'pulling' | 'loading' | 'draining' | 'done' | 'failed';
  /** Of the stage, 0 to 1. */
  readonly fraction: number;
  /** Of `failed`, which the node goes on from as it was. */
  readonly fault: Fault | undefined;
}

type Action = NonNullable<ControlModelRequest['action']>;

/** @throws Fault, out of the iteration */
export async function* streamControl(
  routers: Routers,
  action: Action,
  { nodes = [], signal }: ControlOptions,
): AsyncGenerator<ModelStep, void, void> {
  const request = { nodes: [...nodes], action };
  checkControl(request);
  for await (const response of messagesOf(routers, (router) => router.controlModel(request), signal)) yield stepOf(response);
}

function stepOf({ node, model, stage, fraction, reason, message }: ControlModelResponse): ModelStep {
  const fault = stage === 'failed' ? new Fault(isReason(reason) ? reason : 'INTERNAL', message) : undefined;
  return { node, model, stage: isStage(stage) ? stage : 'waiting', fraction, fault };
}

const STAGES = new Set<string>(['waiting', 'pulling', 'loading', 'draining', 'done', 'failed'] satisfies ModelStep['stage'][]);

function isStage(text: string): text is ModelStep['stage'] {
  return STAGES.has(text);
}
