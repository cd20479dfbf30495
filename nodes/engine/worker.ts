/**
 * The child process in which a backend runs: nodes/engine/child-engine.ts forks it and talks to it over IPC. It dies
 * with its parent, and lets no signal of the terminal decide when it ends.
 */
import { Fault, toFault } from '../../proto/contract/faults.ts';
import type { Backend, Run, Sink } from '../backends/backend.ts';
import type { JobEvent, ToChild, ToParent } from './protocol.ts';
import { NO_VECTORS } from './refuse.ts';
import { makeBackend } from './registry.ts';

type LoadRequest = Extract<ToChild, { type: 'load' }>;
type GenerateRequest = Extract<ToChild, { type: 'generate' }>;
type EmbedRequest = Extract<ToChild, { type: 'embed' }>;

let backend: Backend | undefined;
const runs = new Map<number, Run>();
const embeds = new Map<number, AbortController>();
let outbox: JobEvent[] = [];

process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
// Native threads are still at work, so nothing short of this ends the process at once and for sure.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', (message: ToChild) => {
  switch (message.type) {
    case 'load':
      void load(message);
      break;
    case 'generate':
      generate(message);
      break;
    case 'embed':
      void embed(message);
      break;
    case 'cancel_embed':
      embeds.get(message.id)?.abort();
      break;
    case 'dispose':
      void dispose();
      break;
    default:
      runs.get(message.id)?.[message.type]();
  }
});

/** @param sent called when the message is on its way; a parent that is gone has no use for it */
function send(message: ToParent, sent: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, sent);
}

async function load({ backend: name, options }: LoadRequest): Promise<void> {
  try {
    const loading = await makeBackend(name, options.model);
    const model = await loading.load(options, report);
    backend = loading;
    send({ type: 'loaded', model });
  } catch (error) {
    const { reason, message } = error instanceof Fault ? error : toFault(error);
    send({ type: 'failed', reason, message });
  }
}

let reportedPercent = 0;

/** Engines report each tensor; whole percents are enough for a bar. */
function report(fraction: number): void {
  const percent = Math.floor(fraction * 100);
  if (percent <= reportedPercent) return;
  reportedPercent = percent;
  send({ type: 'progress', fraction });
}

function generate({ id, job }: GenerateRequest): void {
  const sink: Sink = {
    prefilling: (slot) => post({ type: 'prefilling', id, slot }),
    delta: (seq, tokens, text, tokenIds) => post({ type: 'delta', id, seq, tokens, text, tokenIds }),
    end: (outcome, tokens, timings) => {
      runs.delete(id);
      post({ type: 'end', id, outcome, tokens, timings });
    },
  };
  if (backend) runs.set(id, backend.generate(job, sink));
}

async function embed({ id, texts }: EmbedRequest): Promise<void> {
  const cancel = new AbortController();
  embeds.set(id, cancel);
  const embedding = (await backend?.embed?.(texts, cancel.signal)) ?? NO_VECTORS;
  embeds.delete(id);
  send({ type: 'embedded', id, embedding });
}

/**
 * One message for all that happens in a turn: a decode step gives a token to every running job. It is sent a turn later,
 * because the engine starts its next step in this one: so the writing costs no decoding time.
 */
function post(event: JobEvent): void {
  if (outbox.push(event) === 1) setImmediate(() => setImmediate(() => flush()));
}

function flush(sent?: () => void): void {
  const events = outbox;
  outbox = [];
  if (backend) send({ type: 'events', events, load: backend.currentLoad() }, sent);
}

async function dispose(): Promise<void> {
  await backend?.dispose();
  flush(() => process.exit(0));
}
