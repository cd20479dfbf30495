/** Work that takes a while: bars on a terminal, a line for every tenth elsewhere, events in JSON. */
import type { SingleBar } from 'cli-progress';
import { MultiBar } from 'cli-progress';
import type { ModelStep } from '../../client/index.ts';
import type { PullProgress } from '../../nodes/index.ts';
import type { Terminal } from './terminal.ts';
import { style } from './terminal.ts';
import { bytes, percent } from './units.ts';

export interface Step {
  readonly phase: PullProgress['phase'] | ModelStep['stage'] | 'answering';
  /** From 0 to 1. */
  readonly fraction: number;
  /** What is done so far, such as 32 MB of 323 MB. */
  readonly detail: string;
}

export interface Progress {
  step(name: string, step: Step): void;
  /** The named work is over; `outcome` says how in a few words. */
  done(name: string, outcome: string): void;
  /** A line above the bars. */
  note(line: string): void;
  /** Takes the bars away; what is told after that starts anew. */
  end(): void;
}

export function pullSteps({ phase, downloadedBytes, totalBytes }: PullProgress): Step {
  const fraction = totalBytes > 0 ? Math.min(1, downloadedBytes / totalBytes) : 0;
  return { phase, fraction, detail: totalBytes > 0 ? `${bytes(downloadedBytes)} of ${bytes(totalBytes)}` : '' };
}

export function openProgress(terminal: Terminal): Progress {
  if (terminal.json) return new Events(terminal);
  return process.stderr.isTTY ? new Bars() : new Lines(terminal);
}

class Bars implements Progress {
  readonly #bars = new Map<string, SingleBar>();
  #multi: MultiBar | undefined;

  step(name: string, { phase, fraction, detail }: Step): void {
    this.#update(name, fraction, `${percent(fraction).padStart(5)}  ${phase} ${detail}`);
  }

  done(name: string, outcome: string): void {
    this.#update(name, 1, style('green', `  ${outcome}`, process.stderr));
  }

  #update(name: string, fraction: number, text: string): void {
    this.#multi ??= new MultiBar({
      format: `  {name}  ${style('cyan', '{bar}', process.stderr)} {text}`,
      barCompleteChar: '━',
      barIncompleteChar: '─',
      barsize: 28,
      hideCursor: true,
      clearOnComplete: true,
      stream: process.stderr,
    });
    const payload = { name: name.padEnd(20), text };
    const bar = this.#bars.get(name);
    if (bar) bar.update(fraction, payload);
    else this.#bars.set(name, this.#multi.create(1, fraction, payload));
  }

  note(line: string): void {
    if (this.#multi) this.#multi.log(`${line}\n`);
    else process.stderr.write(`${line}\n`);
  }

  end(): void {
    this.#multi?.stop();
    this.#multi = undefined;
    this.#bars.clear();
  }
}

/** Tells whether a step is news: another phase, or a tenth further. */
class Tenths {
  readonly #last = new Map<string, string>();

  isNews(name: string, { phase, fraction }: Step): boolean {
    const mark = `${phase} ${Math.floor(fraction * 10)}`;
    if (this.#last.get(name) === mark) return false;
    this.#last.set(name, mark);
    return true;
  }
}

class Lines implements Progress {
  readonly #terminal: Terminal;
  readonly #tenths = new Tenths();

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  step(name: string, step: Step): void {
    if (!this.#tenths.isNews(name, step)) return;
    this.#terminal.note([name, step.phase, percent(step.fraction), step.detail].filter(Boolean).join('  '));
  }

  done(name: string, outcome: string): void {
    this.#terminal.note(`${name}  ${outcome}`);
  }

  note(line: string): void {
    this.#terminal.note(line);
  }

  end(): void {}
}

class Events implements Progress {
  readonly #terminal: Terminal;
  readonly #tenths = new Tenths();

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  step(name: string, step: Step): void {
    if (this.#tenths.isNews(name, step)) this.#terminal.object({ event: 'progress', name, ...step });
  }

  done(): void {}

  note(): void {}

  end(): void {}
}
