/** What went wrong, told in one line and what to do next, or as JSON. */
import type { Fault, Reason } from '../../client/index.ts';
import { toFault } from '../../proto/contract/faults.ts';
import { UsageError } from '../usage.ts';
import type { Terminal } from './terminal.ts';
import { harmless, style } from './terminal.ts';
import { milliseconds } from './units.ts';

const NEXT: Partial<Record<Reason, string>> = {
  MODEL_NOT_FOUND: 'infermesh ps shows what the nodes serve, infermesh models what can be fetched',
  NO_NODE: 'infermesh ps shows the nodes and what they are doing',
  NODE_LOST: 'the same request may succeed when asked again',
  ENGINE_CRASHED: 'the same request may succeed when asked again',
  CONTEXT_TOO_LONG: 'shorten the prompt, or choose a model with a longer context (infermesh models)',
  DEADLINE_EXCEEDED: 'give it more time with --deadline SECONDS',
  UNAUTHENTICATED: 'a client needs an API key (--api-key-file), a node a token (infermesh token create)',
  FORBIDDEN: "admins show the router's own token, or the key of a tenant whose role is admin, by --api-key-file",
};

/** What a failure comes to. */
export interface Failure extends Pick<Fault, 'reason' | 'code' | 'message' | 'violations'> {
  /** What to do next. */
  readonly next?: string | undefined;
  readonly exitCode: number;
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof UsageError) {
    const { message, violations } = thrown;
    return { reason: 'INVALID_REQUEST', code: 3, message, violations, exitCode: 2 };
  }
  const fault = toFault(thrown);
  const { reason, code, message, violations } = fault;
  const next = NEXT[reason] ?? later(fault) ?? (thrown === fault ? undefined : traceOf(thrown));
  return { reason, code, message, violations, next, exitCode: 1 };
}

export function tellFailure(terminal: Terminal, failure: Failure): void {
  const { reason, code, message, violations, next } = failure;
  if (terminal.json) {
    terminal.object({ error: { reason, code, message, violations } });
    return;
  }
  const [first, ...others] = linesOf(failure);
  terminal.note(`${style('red', 'infermesh:', process.stderr)} ${first}`);
  for (const line of others) terminal.note(`           ${line}`);
  if (next) terminal.note(style('dim', `           ${next}`, process.stderr));
}

/** The message, or where there are several violations each of them. */
export function linesOf({ message, violations }: Pick<Failure, 'message' | 'violations'>): string[] {
  const lines = violations.length > 0 ? violations.map(({ field, description }) => `${field} ${description}`) : [message];
  return lines.flatMap((line) => line.split('\n')).map(harmless);
}

function later({ retryAfterMs }: Fault): string | undefined {
  return retryAfterMs === undefined ? undefined : `try again in ${milliseconds(retryAfterMs)}`;
}

/** A defect of this process; its own message may quote a prompt, which is nothing for a log unless asked for. */
function traceOf(thrown: unknown): string {
  if (process.env.INFERMESH_LOG_LEVEL !== 'debug') return 'for the place in the code set INFERMESH_LOG_LEVEL=debug';
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
