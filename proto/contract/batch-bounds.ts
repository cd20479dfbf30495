/** The bounds of a batch, as stated in proto/infermesh/v1/inference.proto. */
import { z } from 'zod';
import { checked, whole } from './bounds.ts';

/** Items of one batch at the same time. */
export const MOST_AT_ONCE = 1024;

const id = z.object({ id: z.string().regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters') });

const window = z.object({ window: whole(1, MOST_AT_ONCE).optional() });

/** @throws Fault INVALID_REQUEST */
export function checkItemId(value: string): string {
  return checked(id, { id: value }).id;
}

/** @throws Fault INVALID_REQUEST */
export function checkWindow(value: number | undefined): number | undefined {
  return checked(window, { window: value }).window;
}
