/** One answer as it streams in. */
import type { CallOptions, ChatEvent, ChatInput, Mesh } from '../../client/index.ts';
import { cacheSourceName, finishReasonName } from '../output/names.ts';
import type { Terminal } from '../output/terminal.ts';
import { harmless, style } from '../output/terminal.ts';
import { milliseconds, rate } from '../output/units.ts';

type Started = Extract<ChatEvent, { type: 'started' }>;
type Finished = Extract<ChatEvent, { type: 'finished' }>;

/**
 * Prints the answer, in JSON every event.
 * @param onText called with each piece, for callers that need the answer afterwards
 * @throws Fault; what was printed until then ends with a line feed
 */
export async function streamAnswer(
  { mesh, terminal }: { readonly mesh: Mesh; readonly terminal: Terminal },
  input: ChatInput,
  options: CallOptions,
  onText: (text: string) => void = () => {},
): Promise<void> {
  let started: Started | undefined;
  let last = '\n';
  try {
    for await (const event of mesh.chat(input, options)) {
      if (event.type === 'started') started = event;
      if (terminal.json) terminal.object(readable(event));
      else if (event.type === 'delta') {
        onText(event.text);
        terminal.write(terminal.live ? harmless(event.text) : event.text);
        if (event.text !== '') last = event.text;
      } else if (event.type === 'finished') {
        if (!last.endsWith('\n')) terminal.line();
        last = '\n';
        if (terminal.live && started) terminal.note(summary(started, event));
      }
    }
  } finally {
    if (!terminal.json && !last.endsWith('\n')) terminal.line();
  }
}

/** Without numbers that only the protocol's file explains. */
function readable(event: ChatEvent): object {
  if (event.type !== 'finished') return event;
  const { cached } = event;
  const named = cached && { ...cached, source: cacheSourceName(cached.source) };
  return { ...event, reason: finishReasonName(event.reason), ...(named ? { cached: named } : {}) };
}

function summary({ node, model }: Started, { reason, usage, timings, cached }: Finished): string {
  const tokens = usage?.outputTokens ?? 0;
  const decodeMs = timings?.decodeMs ?? 0;
  const parts = [
    harmless(node),
    harmless(model),
    `${tokens} tokens`,
    // The first token is prefill's; decode makes the others.
    decodeMs > 0 && tokens > 1 ? rate(((tokens - 1) / decodeMs) * 1000) : '',
    timings ? `first token after ${milliseconds(timings.firstTokenMs)}` : '',
    cached ? `cached (${cacheSourceName(cached.source)}, ${milliseconds(cached.ageMs)} old)` : '',
    finishReasonName(reason) === 'length' ? 'cut at the longest length' : '',
  ];
  return style('dim', parts.filter(Boolean).join(' · '), process.stderr);
}
