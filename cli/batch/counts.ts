/** How far a batch is, what it made and what that cost. Pure. */
import type { BatchOutcome } from '../../client/index.ts';
import type { Step } from '../output/progress.ts';
import { duration, rate, usd } from '../output/units.ts';

export class Counts {
  /** Lines that are no blank ones; undefined where that is not known before the end. */
  readonly total: number | undefined;
  readonly #now: () => number;
  readonly #startedAt: number;
  answered = 0;
  failed = 0;
  /** Answered by a run before. */
  skipped = 0;
  cached = 0;
  inputTokens = 0;
  outputTokens = 0;
  costUsd = 0;

  /** @param now milliseconds */
  constructor(total: number | undefined, now: () => number) {
    this.total = total;
    this.#now = now;
    this.#startedAt = now();
  }

  take(outcome: BatchOutcome): void {
    if (outcome.type === 'failed') {
      this.failed++;
      return;
    }
    this.answered++;
    if (outcome.type !== 'answer') return;
    const { usage, cost, cached } = outcome.finished;
    this.costUsd += cost?.usd ?? 0;
    if (cached) {
      this.cached++;
      return;
    }
    this.inputTokens += usage?.inputTokens ?? 0;
    this.outputTokens += usage?.outputTokens ?? 0;
  }

  /** Of this run. */
  get seconds(): number {
    return (this.#now() - this.#startedAt) / 1000;
  }

  get tokensPerSecond(): number {
    return this.seconds > 0 ? this.outputTokens / this.seconds : 0;
  }

  step(): Step {
    const done = this.answered + this.failed + this.skipped;
    const fraction = this.total ? Math.min(1, done / this.total) : 0;
    const parts = [
      this.total === undefined ? `${count(done)} done` : `${count(done)} of ${count(this.total)}`,
      rate(this.tokensPerSecond),
      this.#left(),
      usd(this.costUsd),
      this.failed > 0 ? `${count(this.failed)} failed` : '',
    ];
    return { phase: 'answering', fraction, detail: parts.filter(Boolean).join('  ') };
  }

  /** By the pace of this run. */
  #left(): string {
    const done = this.answered + this.failed;
    if (this.total === undefined || done === 0) return '';
    const seconds = ((this.total - this.skipped - done) / done) * this.seconds;
    return `${duration(Math.max(0, seconds))} left`;
  }

  /** For people. */
  summary(): string {
    const { answered, failed, skipped, cached, outputTokens, seconds, tokensPerSecond, costUsd } = this;
    return [
      `${count(answered)} answered${cached > 0 ? ` (${count(cached)} from the cache)` : ''}`,
      failed > 0 ? `${count(failed)} failed` : '',
      skipped > 0 ? `${count(skipped)} were answered before` : '',
      outputTokens > 0 ? `${count(outputTokens)} tokens at ${rate(tokensPerSecond)}` : '',
      `${duration(seconds)}`,
      usd(costUsd),
    ]
      .filter(Boolean)
      .join(', ');
  }

  /** For programs. */
  object(): object {
    const { answered, failed, skipped, cached, inputTokens, outputTokens, costUsd, seconds, tokensPerSecond } = this;
    return { answered, failed, skipped, cached, inputTokens, outputTokens, costUsd, seconds, tokensPerSecond };
  }
}

const count = (value: number) => value.toLocaleString('en');
