/** The bounds of what operators have nodes load, unload and swap, as stated in proto/infermesh/v1/admin.proto, and the check. */
import { z } from 'zod';
import type { ControlModelRequest } from '../gen/infermesh/v1/admin.ts';
import { checked, MODEL_NAME, NODE_ID, NODE_ID_BOUND, whole } from './bounds.ts';
import { invalid } from './faults.ts';

/** At the end of a name: one version of the model. */
const VERSION = /@[0-9a-f]{8,64}$/;
const MOST_LIMIT_MS = 3_600_000;
const MOST_SLOTS = 16_384;

const model = z.string().refine((name) => MODEL_NAME.test(modelName(name)), {
  error: 'must be a name of up to 128 letters, digits and ._:-, alone or with @ and 8 to 64 hex digits of a digest',
});
const limitMs = whole(0, MOST_LIMIT_MS).optional();
const nodes = z.array(z.string().regex(NODE_ID, `must be ${NODE_ID_BOUND}`)).max(256, 'must be at most 256');

const control = z.object({
  nodes,
  load: z.object({ model, slots: whole(1, MOST_SLOTS).optional() }).optional(),
  unload: z.object({ model, limitMs }).optional(),
  swap: z
    .object({ from: model, to: model, limitMs })
    .refine(({ from, to }) => from !== to, { error: 'must be another than swap.from', path: ['to'] })
    .optional(),
});

/** @throws Fault INVALID_REQUEST with every violation */
export function checkControl({ nodes, action }: ControlModelRequest): NonNullable<ControlModelRequest['action']> {
  if (!action) throw invalid([{ field: 'action', description: 'must be load, unload or swap, received none' }]);
  checked(control, { nodes, [action.$case]: action.value });
  return action;
}

/** NAME of NAME@DIGITS. */
export function modelName(model: string): string {
  return model.replace(VERSION, '');
}

/** DIGITS of NAME@DIGITS; empty where it names no version. */
export function versionOf(model: string): string {
  return VERSION.exec(model)?.[0].slice(1) ?? '';
}
