/**
 * Loaded into a node's process before it starts (`--import`): makes its replay engine fail in the ways that real engines
 * do. What it does is said in the environment:
 *
 *   CHAOS_POISON=WORD        a prompt "WORD N" kills the process N tokens after it began with it
 *   CHAOS_WEDGE=1            after SIGUSR2 the engine gives nothing and heeds nothing; the node goes on reporting
 *   CHAOS_REAL_SLOTS=N       the engine has only so many slots, whatever the node says
 *   CHAOS_COUNT=FILE         writes for every job {"prompt","tokens","lastAt"}: its last token by the machine's clock
 */
import { appendFileSync } from 'node:fs';
import type { Job, LoadOptions, Run, Sink } from '../../../nodes/backends/backend.ts';
import { ReplayBackend } from '../../../nodes/backends/replay.ts';
import { monotonicMs } from './clock.ts';

const { CHAOS_POISON, CHAOS_WEDGE, CHAOS_REAL_SLOTS, CHAOS_COUNT } = process.env;
const { load, generate } = ReplayBackend.prototype;
let wedged = false;

if (CHAOS_WEDGE) {
  process.on('SIGUSR2', () => {
    wedged = true;
  });
}

ReplayBackend.prototype.load = async function (this: ReplayBackend, options: LoadOptions, progress: (fraction: number) => void) {
  if (!CHAOS_REAL_SLOTS) return load.call(this, options, progress);
  const model = await load.call(this, { ...options, slots: Number(CHAOS_REAL_SLOTS) }, progress);
  return { ...model, slots: options.slots };
};

ReplayBackend.prototype.generate = function (this: ReplayBackend, job: Job, sink: Sink): Run {
  if (wedged) return { cancel: () => {}, pause: () => {}, resume: () => {} };
  const prompt = job.messages.at(-1)?.text ?? '';
  const run = generate.call(this, job, tampered(sink, prompt));
  return {
    cancel: () => wedged || run.cancel(),
    pause: () => wedged || run.pause(),
    resume: () => wedged || run.resume(),
  };
};

function tampered(sink: Sink, prompt: string): Sink {
  const [word, after] = prompt.split(' ');
  const isPoison = CHAOS_POISON !== undefined && word === CHAOS_POISON;
  let left = Number(after);
  let tokens = 0;
  let lastAt = 0;
  const die = () => process.kill(process.pid, 'SIGKILL');
  return {
    prefilling(slot) {
      if (wedged) return;
      if (isPoison && left <= 0) die();
      sink.prefilling(slot);
    },
    delta(seq, count, text, tokenIds) {
      if (wedged) return;
      if (isPoison && left <= 0) die();
      left -= count;
      tokens += count;
      lastAt = monotonicMs();
      sink.delta(seq, count, text, tokenIds);
    },
    end(outcome, total, timings) {
      if (wedged) return;
      if (CHAOS_COUNT) counted.push(JSON.stringify({ prompt, tokens, lastAt }));
      sink.end(outcome, total, timings);
    },
  };
}

const counted: string[] = [];
if (CHAOS_COUNT) {
  const flush = () => counted.length > 0 && appendFileSync(CHAOS_COUNT, `${counted.splice(0).join('\n')}\n`);
  setInterval(flush, 200).unref();
}
