/** Which slot a prompt gets, and what of it the slot's KV cache has. */
import { fileURLToPath } from 'node:url';
import type { Token } from 'node-llama-cpp';
import { describe, expect, test } from 'vitest';
import { bestSlot } from '../../../nodes/backends/llama-cpp/sequence.ts';
import { LlamaCppBackend } from '../../../nodes/backends/llama-cpp.ts';
import type { Message, Usage } from '../../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

/** A slot with so many tokens, of which the first are those of the prompt, and so many were its last prompt. */
const holding = (common: number, held = common, lastPrompt = held) => ({
  lastPrompt,
  nextTokenIndex: held,
  compareContextTokens: () => ({ firstDifferentIndex: common }),
});
const EMPTY = () => holding(0);
const PROMPT = Array.from({ length: 100 }, (_, id) => id as Token);

describe('a prompt gets', () => {
  /** @param free the one that is free longest first; the others are at work */
  const chosen = (order: ReturnType<typeof holding>[], ...free: number[]) =>
    order.indexOf(bestSlot(order, new Set(free.map((at) => order[at]!)), PROMPT, ({ lastPrompt }) => lastPrompt));

  test('the slot that holds the most of it', () => {
    const order = [EMPTY(), holding(30), holding(60), holding(45)];
    expect(chosen(order, 0, 1, 2, 3)).toBe(2);
    expect(chosen(order, 3, 1, 0)).toBe(3);
  });

  test('an empty slot rather than that of a conversation which only began alike', () => {
    const order = [holding(40, 400), EMPTY()];
    expect(chosen(order, 0, 1)).toBe(1);
    expect(chosen(order, 1, 0)).toBe(1);
  });

  test('the slot of the conversation that was quiet longest, where all are taken', () => {
    const order = [holding(40, 400), holding(40, 400), holding(40, 400)];
    expect(chosen(order, 2, 0, 1)).toBe(2);
    expect(chosen(order, 1, 2, 0)).toBe(1);
  });

  test('the slot of its own conversation, however long ago that was', () => {
    // Its answer came back as other tokens.
    const order = [holding(58, 200, 60), holding(2, 300), EMPTY()];
    expect(chosen(order, 0, 1, 2)).toBe(0);
    expect(chosen(order, 2, 1, 0)).toBe(0);
  });

  test('one beside those at work, of those that are as good', () => {
    const order = Array.from({ length: 8 }, EMPTY);
    // 2 and 5 are at work.
    expect(chosen(order, 7, 3, 0, 1, 4, 6)).toBe(3);
    expect(chosen(order, 7, 0, 6, 4, 1, 3)).toBe(6);
    // 1, 3 and 4 are.
    expect(chosen(order, 5, 7, 0, 2, 6)).toBe(2);
  });

  test('the last one that is free', () => {
    expect(chosen([EMPTY(), EMPTY(), EMPTY()], 1)).toBe(1);
  });
});

describe('conversations on fewer slots than there are of them', () => {
  const path = fileURLToPath(new URL('../../../nodes/models/bundled/stories-15m-q8_0.gguf', import.meta.url));
  const [cat, king, tree] = ['a cat called Mia', 'a king of a far land', 'a tree that could sing'].map((who) => [
    { role: Role.ROLE_USER, text: `Once upon a time there was ${who}, and every day the children came to see what was new.` },
  ]) as [Message[], Message[], Message[]];

  /** @returns its usage; the conversation goes on with the answer and another question */
  async function turn(backend: LlamaCppBackend, conversation: Message[]): Promise<Usage> {
    const sink = new Recorder();
    backend.generate({ ...jobOf('', { maxTokens: 8 }), messages: [...conversation] }, sink);
    const { outcome } = await sink.ended;
    if (outcome.type !== 'finish') throw new Error(outcome.message);
    conversation.push({ role: Role.ROLE_ASSISTANT, text: sink.text }, { role: Role.ROLE_USER, text: ' Then' });
    return outcome.usage;
  }

  test('are read only where they are new, and the one that was quiet longest is read anew', async () => {
    const backend = new LlamaCppBackend();
    await backend.load(loadOptions({ path }, 2), () => {});
    const first = [await turn(backend, cat), await turn(backend, king)];
    // All of the prompt, but for tokens of the beginning that all texts share.
    for (const { inputTokens, cachedInputTokens } of first) expect(cachedInputTokens).toBeLessThan(inputTokens / 2);

    const second = await Promise.all([turn(backend, king), turn(backend, cat)]);
    const before = [first[1], first[0]] as Usage[];
    for (const [at, usage] of second.entries()) {
      expect(usage.cachedInputTokens).toBeGreaterThanOrEqual((before[at] as Usage).inputTokens);
      expect(usage.cachedInputTokens).toBeLessThan(usage.inputTokens);
    }

    await turn(backend, cat);
    const evicting = await turn(backend, tree);
    expect(evicting.cachedInputTokens).toBeLessThan(evicting.inputTokens / 2);
    const stayed = await turn(backend, cat);
    expect(stayed.cachedInputTokens).toBeGreaterThan(stayed.inputTokens / 2);
    const evicted = await turn(backend, king);
    expect(evicted.cachedInputTokens).toBeLessThan(evicted.inputTokens / 2);
    await backend.dispose();
  });
});
