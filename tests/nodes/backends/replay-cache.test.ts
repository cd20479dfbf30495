import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReplayBackend } from '../../../nodes/backends/replay.ts';
import type { Message } from '../../../proto/gen/infermesh/v1/types.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { jobOf, loadOptions, Recorder } from '../../contract/jobs.ts';

const user = (text: string): Message => ({ role: Role.ROLE_USER, text });
const assistant = (text: string): Message => ({ role: Role.ROLE_ASSISTANT, text });
const LONG = 'a question of some length '.repeat(8);

let backend: ReplayBackend;
beforeEach(async () => {
  backend = new ReplayBackend();
  await backend.load(loadOptions({ path: 'replay:length=12', contextLength: 4096 }, 2), () => {});
});
afterEach(() => backend.dispose());

async function ask(messages: Message[]) {
  const sink = new Recorder();
  backend.generate({ ...jobOf(''), messages }, sink);
  const { outcome } = await sink.ended;
  if (outcome.type !== 'finish') throw new Error(outcome.message);
  return { text: sink.text, ...outcome.usage };
}

describe('a slot of the replay engine', () => {
  it('has read a conversation that goes on, its answer too', async () => {
    const first = await ask([user(LONG)]);
    expect(first.cachedInputTokens).toBe(0);
    const second = await ask([user(LONG), assistant(first.text), user('and more')]);
    expect(second.cachedInputTokens).toBe(second.inputTokens - 2);
  });

  it('always reads the last token', async () => {
    await ask([user(LONG)]);
    const again = await ask([user(LONG)]);
    expect(again.cachedInputTokens).toBe(again.inputTokens - 1);
  });

  it('has read as much as is the same', async () => {
    await ask([user(LONG), user('x')]);
    expect((await ask([user(`${LONG}!`), user('x')])).cachedInputTokens).toBe(Math.floor(LONG.length / 4));
    expect((await ask([user('other')])).cachedInputTokens).toBe(0);
  });

  it('keeps one conversation while another goes on in the other slot', async () => {
    const one = await ask([user(`one ${LONG}`)]);
    const other = await ask([user(`other ${LONG}`)]);
    for (const [text, { text: answer }] of [
      [`one ${LONG}`, one],
      [`other ${LONG}`, other],
    ] as const) {
      const next = await ask([user(text), assistant(answer), user('more')]);
      expect(next.cachedInputTokens).toBe(next.inputTokens - 1);
    }
  });
});
