import { describe, expect, it } from 'vitest';
import type { ChatInput } from '../../client/request.ts';
import { chatRequest } from '../../client/request.ts';
import { Priority } from '../../proto/gen/infermesh/v1/inference.ts';

describe('the priority of a request', () => {
  it.each([
    [{}, Priority.PRIORITY_UNSPECIFIED],
    [{ priority: 'low' }, Priority.PRIORITY_LOW],
    [{ priority: 'normal' }, Priority.PRIORITY_NORMAL],
    [{ priority: 'high' }, Priority.PRIORITY_HIGH],
  ] satisfies [Partial<ChatInput>, Priority][])('is what the program says: %j', (given, priority) => {
    expect(chatRequest({ messages: 'hello', ...given }).priority).toBe(priority);
  });
});
