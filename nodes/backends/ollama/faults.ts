/**
 * What an error of Ollama means. Pure. Its own words are matched and not passed on, since they may quote a request; only
 * those about a model that is fetched, which no request has to do with, are shown.
 */
import { Fault } from '../../../proto/contract/faults.ts';
import type { Failure } from '../job-run.ts';
import { failure } from '../job-run.ts';
import { UNREACHABLE_MS } from '../retry-after.ts';

/** Ollama passes the error of llama.cpp's server on as a text of JSON in its own. */
const TOO_LONG = /exceed_context_size|exceeds the available context size|longer than the context length|input length exceeds/i;
const CRASHED =
  /runner (?:process )?(?:has terminated|crashed)|unexpected EOF|error was encountered while running|CUDA error|connection reset/i;
const NO_MEMORY = /more system memory|out of memory|insufficient memory|unable to allocate/i;
const NO_GRAMMAR = /grammar|schema|format/i;

/**
 * @param status of HTTP; 200 for an error in the middle of a stream
 * @param retryAfterMs when it wants to be asked again, where it says so
 */
export function faultOf(status: number, message: string, retryAfterMs?: number): Fault {
  if (TOO_LONG.test(message)) return new Fault('CONTEXT_TOO_LONG', tooLong(message));
  if (NO_MEMORY.test(message)) return new Fault('ENGINE_FAILED', 'Ollama has not memory enough to load the model');
  if (status === 404 || /model .{0,200}not found/i.test(message)) {
    return new Fault('MODEL_NOT_FOUND', 'Ollama has no such model; it may have been removed since it was loaded');
  }
  if (status === 401 || status === 403) return new Fault('ENGINE_FAILED', `Ollama wants a credential (HTTP ${status})`);
  const asksForRest = status === 503 && retryAfterMs !== undefined;
  if (status === 429 || asksForRest || /server busy|maximum pending/i.test(message)) {
    return new Fault('QUEUE_FULL', "Ollama's own queue is full", { retryAfterMs });
  }
  if (CRASHED.test(message)) return new Fault('ENGINE_CRASHED', "Ollama's runner of the model died");
  if (status === 502 || status === 503 || status === 504) {
    return new Fault('UNREACHABLE', `Ollama is not to be reached behind its proxy (HTTP ${status})`);
  }
  if (/does not support/i.test(message)) return new Fault('UNSUPPORTED', 'the model of Ollama does not support this');
  if (NO_GRAMMAR.test(message)) return new Fault('UNSUPPORTED', 'Ollama cannot hold an answer to this json_schema');
  const where = status === 200 ? 'in the middle of the answer' : `HTTP ${status}`;
  return new Fault('ENGINE_FAILED', `Ollama refused or broke the request (${where})`);
}

function tooLong(message: string): string {
  const [tokens, room] = [/\((\d+) tokens\)/.exec(message)?.[1], /size \((\d+) tokens\)/.exec(message)?.[1]];
  return tokens && room
    ? `the prompt has ${tokens} tokens and the model takes ${Number(room) - 1} at most`
    : 'the prompt has more tokens than the model takes';
}

/** While a model is fetched: Ollama's words say what to do. */
export function pullFault(model: string, message: string): Fault {
  const words = message.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200);
  return new Fault('ENGINE_FAILED', `Ollama cannot fetch ${model}: ${words}`);
}

/** @param code of the socket, such as ECONNREFUSED */
export function unreachable(origin: string, code: string): Fault {
  const advice = code === 'ECONNREFUSED' ? '; is it running there? "ollama serve" starts it' : '';
  return new Fault('UNREACHABLE', `no Ollama answers at ${origin} (${code})${advice}`);
}

/** @param code of the socket; empty where the server just ended the stream */
export function lost(code: string): Fault {
  return new Fault('ENGINE_CRASHED', `the connection to Ollama was lost in the middle${code === '' ? '' : ` (${code})`}`);
}

/**
 * The end of a request. One that found no Ollama never began: another node may take it, and that its engine is away is no
 * sign of a poisoned prompt.
 */
export function failureFrom(thrown: unknown): Failure {
  const { reason, message, retryAfterMs } = faultFrom(thrown);
  if (reason === 'UNREACHABLE') return failure('DRAINING', message, UNREACHABLE_MS);
  return failure(reason, message, retryAfterMs);
}

/** What the package throws by itself is about an answer whose form it did not expect, and may quote it. */
export function faultFrom(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const kind = thrown instanceof Error ? thrown.name : typeof thrown;
  return new Fault('ENGINE_FAILED', `Ollama answered in a form that is not its own (${kind})`, { cause: thrown });
}
