import { totalmem } from 'node:os';

/**
 * Bytes that this process may use: the machine's, or its control group's limit where that is lower.
 * @param limit as Node reads it: 0 or beyond the machine's memory when there is none
 */
export function usableMemory(limit = process.constrainedMemory(), machine = totalmem()): number {
  return limit > 0 && limit < machine ? limit : machine;
}
