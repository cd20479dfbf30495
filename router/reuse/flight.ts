/**
 * One answer for all equal requests of one tenant that come while it is generated.
 *
 *   led --finished--> over                every member has read, or still reads, all of it
 *    |  --failed----> vacant --led        a member goes on with it behind what was recorded, as after a lost node
 *    |                       --> over     nobody is to try again: the failure is everybody's
 *    `--the last member left--> over      and the generation is cancelled
 *
 * Whoever leads is a reader like the others: it may leave, or read slowly, without harm to them. What was recorded
 * before a change of leader stays; the next generation's pieces stand behind it.
 */
import type { Reason } from '../../proto/contract/faults.ts';
import { Fault } from '../../proto/contract/faults.ts';
import type { Finished, Started } from '../../proto/gen/infermesh/v1/inference.ts';
import type { Resumption } from '../admit/admission.ts';
import { Kept } from '../attempt/kept.ts';
import type { Readers } from './generation.ts';
import { Generation } from './generation.ts';
import type { MemberParts, Shared } from './member.ts';
import { Member } from './member.ts';

/** What befell the leader alone, and tells nothing of the answer. */
const LEADERS_OWN: ReadonlySet<Reason> = new Set([
  'CANCELLED',
  'DEADLINE_EXCEEDED',
  'NOT_CACHED',
  'QUOTA_EXCEEDED',
  'SLOW_CONSUMER',
]);
/** Failures of the mesh that another member may try to get over, for all of them together. */
const MOST_RETRIES = 1;

export class Flight implements Shared, Readers {
  /** Who answers, as the first token told it. */
  started: Started | undefined;
  readonly #onClosed: () => void;
  readonly #segments: Kept[] = [];
  readonly #members = new Set<Member>();
  #leader: Member | undefined;
  #generation: Generation | undefined;
  #retries = 0;
  /** Bytes of the answer that had no room any more. */
  #beyond = 0;
  /** Bytes of it that its fastest member has taken; known without a look at the others, of whom there may be thousands. */
  #taken = 0;
  #over = false;

  /** @param onClosed nobody can join it any more */
  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
  }

  get members(): number {
    return this.#members.size;
  }

  get length(): number {
    return this.#segments.reduce((sum, kept) => sum + kept.length, 0);
  }

  from(position: number): Buffer {
    let at = position;
    for (const kept of this.#segments) {
      if (at < kept.length) return kept.from(at);
      at -= kept.length;
    }
    return NOTHING;
  }

  /** The first to join leads. */
  join(parts: MemberParts): Member {
    const member = new Member(this, parts);
    this.#members.add(member);
    if (!this.#leader) this.#lead(member);
    else member.reader.pump();
    return member;
  }

  /** What the next generation goes on behind; undefined: it begins. */
  resumption(now: number): Resumption | undefined {
    const last = this.#segments.at(-1);
    const delivered = last?.delivered();
    if (!this.started || !delivered || delivered.tokens === 0) return undefined;
    const { model, tokenizerDigest } = this.started;
    return { model, tokenizerDigest, delivered, since: now };
  }

  /** Where the leader's generation writes; what it writes must be in `kept` already. */
  begin(leader: Member, kept: Kept): Generation {
    this.#segments.push(kept);
    this.#generation = new Generation(this, leader, kept);
    return this.#generation;
  }

  /** An answer that is whole already takes the place of a generation: it was generated for none of the members. */
  adopt(started: Started, deltas: Buffer, finished: Finished): void {
    const kept = new Kept();
    kept.take(deltas);
    this.started = started;
    this.#segments.push(kept);
    this.#leader = undefined;
    this.finished(finished);
  }

  /** Everything is recorded. Each member is closed in its own words. */
  finished(finished: Finished): void {
    this.#end();
    this.#generation = undefined;
    for (const member of this.#members) member.close(finished, member === this.#leader);
  }

  failed(fault: Fault, leader: Member): void {
    if (this.#over || leader !== this.#leader) return;
    this.#generation = undefined;
    this.#leader = undefined;
    this.#drop(leader, fault);
    const isOwn = LEADERS_OWN.has(fault.reason);
    const isWhole = this.#segments.at(-1)?.isWhole ?? true;
    const mayLead = isWhole && (isOwn || (fault.retryable && this.#retries++ < MOST_RETRIES));
    const next = mayLead ? this.#latest() : undefined;
    if (next) return this.#lead(next);
    this.#end();
    for (const member of [...this.#members]) this.#drop(member, isOwn ? tooLong() : fault);
  }

  left(member: Member): void {
    if (!this.#members.delete(member)) return;
    if (this.#members.size === 0) {
      this.#end();
      this.#generation?.onGone();
    } else if (!this.#over && member.reader.taken >= this.#taken) {
      this.#taken = 0;
      for (const { reader } of this.#members) this.#taken = Math.max(this.#taken, reader.taken);
    }
  }

  pump(): void {
    for (const { reader } of this.#members) reader.pump();
  }

  through(data: Buffer): void {
    this.#onClosed();
    this.#beyond += data.length;
    for (const { reader } of this.#members) reader.through(data);
  }

  get held(): number {
    return this.length + this.#beyond - this.#taken;
  }

  taken({ reader: { taken } }: Member): void {
    if (taken <= this.#taken) return;
    this.#taken = taken;
    this.#generation?.onRelease();
  }

  get isOver(): boolean {
    return this.#over;
  }

  #lead(member: Member): void {
    this.#leader = member;
    member.turn({ type: 'lead' });
  }

  /** Whose time is up last. */
  #latest(): Member | undefined {
    let latest: Member | undefined;
    for (const member of this.#members) if (!latest || member.deadlineAt > latest.deadlineAt) latest = member;
    return latest;
  }

  #drop(member: Member, fault: Fault): void {
    this.#members.delete(member);
    member.turn({ type: 'failed', fault });
    member.reader.leave(fault);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#onClosed();
  }
}

const NOTHING = Buffer.alloc(0);
const tooLong = () => new Fault('STREAM_NOT_RESUMABLE', 'the answer had grown too long for another request to go on with it');

/** The answers that are being generated now, by a name that only equal requests of one tenant share. */
export class Flights {
  readonly #flights = new Map<string, Flight>();

  get size(): number {
    return this.#flights.size;
  }

  has(name: string): boolean {
    return this.#flights.has(name);
  }

  /** Joins those who ask the same; the first one leads. */
  join(name: string, parts: MemberParts): { readonly flight: Flight; readonly member: Member } {
    let flight = this.#flights.get(name);
    if (!flight) {
      const begun = new Flight(() => {
        if (this.#flights.get(name) === begun) this.#flights.delete(name);
      });
      flight = begun;
      this.#flights.set(name, begun);
    }
    return { flight, member: flight.join(parts) };
  }
}
