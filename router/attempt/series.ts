/**
 * The attempts at one request, until one of them has finished the answer or no other is worth it.
 *
 *   attempt -> finished
 *      |  failed: survival.ts says whether another follows
 *      v
 *   admitted to another node (before the first token, after a pause and within the retry budget, by a new choice; after
 *   it, at once, by the same model behind what was delivered) -> attempt ...
 *
 * Before the first token a second attempt may run beside a slow one, the hedge; whichever gives a piece first goes on.
 * The client sees one stream: the first piece of all takes `started` along, and positions go on without a gap.
 *
 * An attempt that is given up holds its slot until its engine has stopped, and the request does not wait for that.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { Ended, Finish } from '../../proto/gen/infermesh/v1/link.ts';
import type { ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import { HOP_MARGIN_MS } from '../../proto/transport/deadline.ts';
import type { ClientStream } from '../../proto/transport/event-stream.ts';
import type { RequestWatch } from '../../telemetry/events.ts';
import type { Admitted, Resumption, Wish } from '../admit/admission.ts';
import type { Breakers, Trial } from '../breakers/breakers.ts';
import type { Clock } from '../clock.ts';
import type { Cut } from '../cut.ts';
import { pause } from '../pause.ts';
import type { Identified } from '../request.ts';
import type { Tally } from '../tally.ts';
import type { AttemptResult } from './attempt.ts';
import { Attempt } from './attempt.ts';
import type { Kept } from './kept.ts';
import type { Pacing } from './pacing.ts';
import { endedEvent, faultIn, finishOf } from './result.ts';
import type { Step } from './survival.ts';
import { MOST_STRIKES, Survival } from './survival.ts';
import type { Sweep } from './sweep.ts';
import { judge } from './trials.ts';

/** Before another attempt at a request that has given nothing yet, in milliseconds. */
const PAUSE_MS = { least: 20, most: 200 };

/** Nobody else is there for it. */
const NOBODY: ReadonlySet<Reason> = new Set(['NO_NODE', 'MODEL_NOT_FOUND', 'QUEUE_FULL']);

export interface SeriesParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly tally: Tally;
  readonly sweep: Sweep;
  readonly pacing: Pacing;
  readonly trials: Pick<Breakers, 'started'>;
}

export interface SeriesOptions {
  readonly request: Identified;
  readonly stream: ClientStream;
  readonly cut: Cut;
  /** When engines give up by themselves, by the router's clock. */
  readonly deadlineAt: number;
  readonly watch: RequestWatch;
  readonly kept: Kept;
  /** What another router delivered before. */
  readonly resumption: Resumption | undefined;
  /** The `started` event, as bytes. */
  readonly opening: (admitted: Admitted) => Buffer;
  /** Another slot. @throws Fault why there is none */
  readonly admit: (wish: Wish) => Promise<Admitted>;
  /** Whether another node serves the model of an attempt. */
  readonly hasOther: (admitted: Admitted) => boolean;
  /** A slot for a hedge, if there is one at once. */
  readonly admitNow: (wish: Wish) => Admitted | undefined;
}

export interface Answer {
  readonly admitted: Admitted;
  readonly ended: Ended;
  readonly finish: Finish;
  /** Started, where no token took it along. */
  readonly unopened: Buffer | undefined;
  /** In the router's lines, before the first attempt. */
  readonly waitedMs: number;
  readonly firstTokenMs: number;
  /** How often the stream moved to another node. */
  readonly migrations: number;
}

/** One attempt with all that hangs on it. */
interface Run {
  readonly admitted: Admitted;
  readonly attempt: Attempt;
  readonly epoch: number;
  readonly trial: Trial;
  readonly startedAt: number;
  /** Tokens of the answer when it began. */
  readonly from: number;
  over: boolean;
}

interface Over {
  readonly run: Run;
  readonly result: AttemptResult;
  readonly fault: Fault | undefined;
}

export class Series {
  readonly #parts: SeriesParts;
  readonly #options: SeriesOptions;
  readonly #survival: Survival;
  readonly #failed = new Map<string, unknown>();
  readonly #live = new Set<Run>();
  /** Whose pieces go to the client. */
  #leader: Run | undefined;
  #epoch = 0;
  #opened = false;
  #tokens: number;
  #firstTokenAt: number | undefined;
  #waitedMs: number | undefined;
  #migrations = 0;
  #over: ((over: Over) => void) | undefined;

  constructor(parts: SeriesParts, options: SeriesOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#tokens = options.resumption?.delivered.tokens ?? 0;
    this.#survival = new Survival(this.#tokens);
  }

  /** Tokens of the answer that went towards the client, here or from another router. */
  get tokens(): number {
    return this.#tokens;
  }

  get migrations(): number {
    return this.#migrations;
  }

  /** Whether engines died on it, so that nobody should try it again soon. */
  get poisonous(): boolean {
    return this.#survival.strikes >= MOST_STRIKES;
  }

  /** @throws Fault why there is no whole answer */
  async run(first: Admitted): Promise<Answer> {
    let admitted = first;
    let resumption = this.#options.resumption;
    let retry: Disposable | undefined;
    let wasFarewell = false;
    this.#options.stream.onRelease = () => this.#leader?.attempt.released();
    try {
      for (;;) {
        const over = await this.#race(admitted, resumption);
        retry?.[Symbol.dispose]();
        if (!over.fault && over.result.type === 'ended') return this.#answer(over.run, over.result.ended);
        const fault = over.fault as Fault;
        if (this.#options.cut.signal.aborted) throw fault;
        const { step, budget } = this.#next(fault);
        if (step.type === 'refuse') throw step.fault;
        retry = budget;
        const { link } = over.run.admitted.claim;
        // Who failed before somebody else got on with it may try again.
        if (this.#tokens > over.run.from) this.#failed.clear();
        // Who wants to be left alone says itself for how long.
        if (!isFarewell(fault) && fault.retryAfterMs === undefined) this.#failed.set(link.id, link);
        // Twice in a row the state is not what it seems.
        const isNews = isFarewell(fault) && !wasFarewell;
        wasFarewell = isFarewell(fault);
        if (!step.soon && !isNews) await this.#pause();
        resumption = this.#resumption(over.run.admitted.chosen.candidate.model, fault);
        admitted = await this.#options.admit({ failed: this.#failed, resumption }).catch((refusal: unknown) => {
          throw refusalOf(refusal, fault);
        });
        if (this.#tokens > 0) this.#moved(admitted, fault);
        else this.#parts.tally.retries++;
      }
    } finally {
      retry?.[Symbol.dispose]();
      this.#options.stream.onRelease = () => {};
    }
  }

  /** What is to follow, and what it takes of the budget of retries. */
  #next(fault: Fault): { readonly step: Step; readonly budget?: Disposable } {
    const step = this.#survival.failed(fault, this.#tokens);
    // An answer that has begun is worth more than the budget, which keeps a sick mesh from being asked twice for all.
    if (step.type === 'refuse' || this.#tokens > 0 || isFarewell(fault)) return { step };
    const budget = this.#parts.pacing.retry(this.#parts.tally.requestsOpen);
    return budget ? { step, budget } : { step: { type: 'refuse', fault } };
  }

  #resumption(model: ServedModel, fault: Fault): Resumption | undefined {
    if (this.#tokens === 0) return this.#options.resumption;
    const { kept } = this.#options;
    if (!kept.isWhole) {
      throw notResumable(fault, 'the answer had grown too long for another node to go on behind it');
    }
    const { name, tokenizerDigest } = model;
    return { model: name, tokenizerDigest, delivered: kept.delivered(), since: this.#parts.clock.now() };
  }

  #moved(admitted: Admitted, { reason }: Fault): void {
    this.#migrations++;
    this.#parts.tally.migrations++;
    const { node, model } = admitted.chosen.candidate;
    this.#options.watch.tell({ type: 'migrated', node, model: model.name, reason, tokens: this.#tokens });
  }

  #pause(): Promise<void> {
    const { clock, random } = this.#parts;
    const ms = PAUSE_MS.least + random() * (PAUSE_MS.most - PAUSE_MS.least);
    return pause(clock, ms, this.#options.cut.signal);
  }

  /**
   * Runs an attempt, and its hedge if there is one.
   * @returns how the one ended that counts: the first to finish, else the last to fail
   */
  async #race(admitted: Admitted, resumption: Resumption | undefined): Promise<Over> {
    const { cut, stream } = this.#options;
    this.#leader = undefined;
    const decided = new Promise<Over>((resolve) => {
      this.#over = (over) => {
        if (!over.fault || this.#live.size === 0) resolve(over);
      };
    });
    const onCut = () => {
      stream.fail(cut.signal.reason as Fault);
      for (const { attempt } of this.#live) attempt.cancel();
    };
    cut.signal.addEventListener('abort', onCut, { once: true });
    const run = this.#start(admitted, resumption);
    const stopHedge = this.#hedgeLater(run);
    if (cut.signal.aborted) onCut();
    try {
      return await decided;
    } finally {
      stopHedge();
      cut.signal.removeEventListener('abort', onCut);
    }
  }

  #start(admitted: Admitted, resumption: Resumption | undefined): Run {
    const { clock, tally, sweep, pacing, trials } = this.#parts;
    const { request, stream, watch, kept, cut, deadlineAt } = this.#options;
    const { claim, chosen } = admitted;
    const { node, model } = chosen.candidate;
    const epoch = ++this.#epoch;
    const startedAt = clock.now();
    this.#waitedMs ??= startedAt - request.arrivedAt;
    const open = tally.attempt();
    const trial = trials.started(node, model.name);
    watch.tell({ type: 'attempt_started', epoch, node, model: model.name });
    const { messages, sampling, stop, jsonSchema } = request.chat;
    const attempt = new Attempt({
      link: claim.link,
      stream,
      clock,
      work: {
        epoch,
        model: model.name,
        messages,
        sampling,
        maxTokens: request.maxTokens,
        stop,
        jsonSchema,
        deadlineMs: Math.max(1, Math.floor(deadlineAt - startedAt - HOP_MARGIN_MS)),
        traceparent: watch.traceparent(),
        canary: false,
        ...(resumption
          ? { delivered: { ...resumption.delivered, model: model.name, tokenizerDigest: model.tokenizerDigest } }
          : {}),
      },
      patience: pacing.patience(request, chosen, () => this.#options.hasOther(admitted)),
      onFirstToken: () => this.#firstToken(run),
      onDelivered: (tokens) => claim.delivered(tokens),
      kept,
      onFault: (fault) => this.#end(run, { type: 'failed', fault, tokens: attempt.tokens }),
      onSlowConsumer: () => cut.abort(new Fault('SLOW_CONSUMER', 'the client did not read its stream for 30 s')),
    });
    const run: Run = { admitted, attempt, epoch, trial, startedAt, from: this.#tokens, over: false };
    this.#live.add(run);
    const unswept = sweep.add(attempt);
    void attempt.result.then((result) => {
      unswept();
      open[Symbol.dispose]();
      admitted[Symbol.dispose]();
      this.#end(run, result);
    });
    return run;
  }

  /** @returns what goes before the first piece, or false when another attempt was faster */
  #firstToken(run: Run): Buffer | undefined | false {
    if (this.#leader && this.#leader !== run) return false;
    this.#leader = run;
    for (const other of this.#live) if (other !== run) this.#giveUp(other);
    this.#firstTokenAt ??= this.#parts.clock.now();
    this.#tookTime(run);
    this.#options.watch.tell({ type: 'first_token', epoch: run.epoch });
    if (this.#opened) return undefined;
    this.#opened = true;
    return this.#options.opening(run.admitted);
  }

  /** To its first token, or in waiting for one. */
  #tookTime({ admitted, startedAt }: Run): void {
    const { clock, pacing } = this.#parts;
    pacing.firstToken(this.#options.request, admitted.chosen, clock.now() - startedAt);
  }

  /** The slower of two: its end is told now, its slot is free when its engine has stopped. */
  #giveUp(run: Run): void {
    run.attempt.cancel();
    this.#end(run, { type: 'failed', fault: new Fault('CANCELLED', 'another attempt was faster'), tokens: run.attempt.tokens });
  }

  #end(run: Run, result: AttemptResult): void {
    if (run.over) return;
    run.over = true;
    this.#live.delete(run);
    const { tally } = this.#parts;
    const { cut, watch } = this.#options;
    const leads = this.#leader === run;
    if (leads) {
      tally.tokensRelayed += result.tokens - this.#tokens;
      this.#tokens = result.tokens;
    }
    const fault = cut.signal.aborted ? (cut.signal.reason as Fault) : faultIn(result);
    judge(run.trial, fault);
    if (result.type === 'ended' && fault?.retryAfterMs !== undefined) run.admitted.claim.rests(fault.retryAfterMs);
    // A model that has become slower would else never be seen to have.
    if (fault?.reason === 'NODE_STALLED' && !leads) this.#tookTime(run);
    watch.tell(endedEvent(run.epoch, result, fault));
    if (fault?.reason === 'CANCELLED' && !cut.signal.aborted) return;
    this.#over?.({ run, result, fault });
  }

  /** Starts a second attempt when the first one is slower than its node nearly always is. */
  #hedgeLater(run: Run): () => void {
    const { clock, pacing } = this.#parts;
    const { model } = run.admitted.chosen.candidate;
    if (this.#tokens > 0 || this.#options.resumption || model.billsAfterDisconnect) return () => {};
    const afterMs = pacing.hedgeAfterMs(run.admitted.chosen);
    if (afterMs === undefined) return () => {};
    return clock.after(afterMs, () => {
      if (this.#leader || run.over || this.#options.cut.signal.aborted || !this.#options.hasOther(run.admitted)) return;
      if (!pacing.mayHedge()) return;
      const { link } = run.admitted.claim;
      const failed = new Map([...this.#failed, [link.id, link]]);
      const admitted = this.#options.admitNow({ failed, resumption: undefined, hedge: true });
      if (!admitted) return;
      this.#parts.tally.hedges++;
      this.#start(admitted, undefined);
    });
  }

  #answer(run: Run, ended: Ended): Answer {
    const { clock } = this.#parts;
    const { request, opening } = this.#options;
    return {
      admitted: run.admitted,
      ended,
      finish: finishOf(ended) as Finish,
      unopened: this.#opened ? undefined : opening(run.admitted),
      waitedMs: this.#waitedMs ?? 0,
      firstTokenMs: (this.#firstTokenAt ?? clock.now()) - request.arrivedAt,
      migrations: this.#migrations,
    };
  }
}

/**
 * A node or a model that leaves, and has said so before it handed the request back: it is out by its state, and what else
 * the node has may be asked. No sign of a sick mesh, however many requests come back together.
 */
function isFarewell({ reason }: Fault): boolean {
  return reason === 'DRAINING';
}

/** Why a request needed another node says more than that there is none. */
function refusalOf(refusal: unknown, fault: Fault): unknown {
  if (!(refusal instanceof Fault)) return refusal;
  if (refusal.reason === 'STREAM_NOT_RESUMABLE') return notResumable(fault, 'no node can go on behind what was delivered');
  return NOBODY.has(refusal.reason) ? fault : refusal;
}

const notResumable = ({ message, facts }: Fault, why: string) =>
  new Fault('STREAM_NOT_RESUMABLE', `${message}; ${why}`, { facts });
