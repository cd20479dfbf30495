/** Why a command about a model fails, each as one line that says what to do. Pure. */
import { Fault } from '../../proto/contract/faults.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { KeptModel } from './view.ts';

export function shuttingDown(): Fault {
  return new Fault('DRAINING', 'the node is shutting down');
}

export function tooMany(most: number): Fault {
  return new Fault('QUEUE_FULL', `the node has ${most} commands about models that are not done`);
}

export function unknown(name: string): Fault {
  return new Fault('MODEL_NOT_FOUND', `the node knows no model ${name}`);
}

export function notInMemory(name: string): Fault {
  return new Fault('INVALID_REQUEST', `from: must be a model in memory; ${name} is not`);
}

/** NAME of NAME or NAME@DIGEST. */
export const nameIn = (model: string) => model.replace(/@.*$/s, '');

/** Whether what is there is what NAME or NAME@DIGEST asks for. */
export function alreadyHas(model: string, { digest }: ServedModel): boolean {
  const version = /@(.*)$/s.exec(model)?.[1];
  return version === undefined || digest.replace(/^sha256:/, '').startsWith(version);
}

export function differentVersion(model: string, { name, digest }: ServedModel): Fault {
  const there = digest.replace(/^sha256:/, '').slice(0, 8);
  return new Fault('INVALID_REQUEST', `model: another version of ${name} is in memory, ${there}; swap ${name} for ${model}`);
}

export function resting(name: string, restMs: number): Fault {
  const message = `the last load of ${name} failed; on demand it is tried again in ${Math.ceil(restMs / 1000)} s`;
  return new Fault('MODEL_UNAVAILABLE', message, { retryAfterMs: restMs });
}

interface Shortage {
  readonly name: string;
  readonly needBytes: number;
  readonly budgetBytes: number;
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly inMemory: readonly KeptModel[];
}

export function noRoom({ name, needBytes, budgetBytes, usedBytes, freeBytes, inMemory }: Shortage): Fault {
  const budget = `the budget is ${size(budgetBytes)} (--memory-budget)`;
  const taken = inMemory.map((model) => `${model.name} ${size(model.memoryBytes)}${model.running > 0 ? ' at work' : ''}`);
  const there = taken.length === 0 ? 'nothing' : taken.join(', ');
  const free = needBytes <= budgetBytes - usedBytes ? `; of the machine's memory ${size(freeBytes)} can be had` : '';
  const message = `${name} needs ${size(needBytes)} of memory; ${budget}, and in memory is ${there}${free}`;
  return new Fault('NO_ROOM', message, { facts: { model: name } });
}

function size(bytes: number): string {
  const megabytes = Math.max(0, bytes) / 1e6;
  return megabytes < 1000 ? `${Math.ceil(megabytes)} MB` : `${(megabytes / 1000).toFixed(1)} GB`;
}
