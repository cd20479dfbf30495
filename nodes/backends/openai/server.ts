/** The server that has the engine: who it is, and whether it has the model. */
import { createHash } from 'node:crypto';
import type { Reason } from '../../../proto/contract/faults.ts';
import { Fault } from '../../../proto/contract/faults.ts';
import { readApiKey } from '../../../proto/transport/join-token.ts';
import type { LoadOptions, ServerSpec } from '../backend.ts';
import { codeOf, Http, Refused } from './http.ts';
import type { Dialect } from './request.ts';

export interface Server {
  readonly http: Http;
  /** What it calls the model. */
  readonly model: string;
  readonly dialect: Dialect;
  /** With its version, where it tells that. */
  readonly name: string;
  /** Tokens, where it tells them. */
  readonly contextLength: number | undefined;
  /** Stands for the tokenizer, which models of one origin have in common; empty where no token ids are told. */
  readonly tokenizerDigest: string;
}

const PATIENCE_MS = 10_000;
const MOST_NAMES_TOLD = 8;
/** What a server says that still loads its model, or stands behind a gateway. */
const PASSING: ReadonlySet<Reason> = new Set(['QUEUE_FULL', 'DRAINING', 'ENGINE_CRASHED']);

/**
 * @throws Fault INVALID_REQUEST for a key that can't be read, UNREACHABLE for a server that is not there, ENGINE_FAILED
 *   for one that refuses the key, MODEL_NOT_FOUND for a model that it does not have
 */
export async function findServer({ server }: LoadOptions): Promise<Server> {
  if (!server) throw new Fault('ENGINE_FAILED', 'the openai engine needs the address of a server: --openai-url');
  const http = new Http(server.url, keyOf(server));
  try {
    const entry = await listedModel(http, server.model);
    const { dialect, name, contextLength } = await identify(http, entry);
    const origin = dialect === 'vllm' ? text(entry?.root) : '';
    return { http, model: server.model, dialect, name, contextLength, tokenizerDigest: digestOf(origin) };
  } catch (error) {
    http.close();
    throw error;
  }
}

function keyOf({ keyFile, keyEnv }: ServerSpec): string | undefined {
  if (keyFile !== undefined) return readApiKey(keyFile);
  if (keyEnv === undefined) return undefined;
  const key = process.env[keyEnv]?.trim() ?? '';
  if (/^[\x21-\x7e]{1,512}$/.test(key)) return key;
  throw new Fault('INVALID_REQUEST', `--openai-key-env: ${keyEnv} holds no API key: it must be 1 to 512 printable characters`);
}

type Entry = Readonly<Record<string, unknown>>;

/** @returns what the server tells of the model; undefined where it has no list */
async function listedModel(http: Http, model: string): Promise<Entry | undefined> {
  let listed: string;
  try {
    listed = await http.get('/models', AbortSignal.timeout(PATIENCE_MS));
  } catch (error) {
    if (!(error instanceof Refused)) {
      const why = `the server at ${http.host} cannot be reached (${codeOf(error)}); is it running, and is --openai-url right?`;
      throw new Fault('UNREACHABLE', why, { cause: error });
    }
    const { reason, message, retryAfterMs } = error.refusal.failure;
    if (reason === 'MODEL_NOT_FOUND') return undefined;
    const what = PASSING.has(reason) ? 'UNREACHABLE' : 'ENGINE_FAILED';
    throw new Fault(what, `the server at ${http.host}: ${message}`, { retryAfterMs });
  }
  const entries = entriesIn(listed, http.host);
  const entry = entries.find(({ id }) => id === model);
  if (entry) return entry;
  const names = entries.map(({ id }) => text(id)).filter(Boolean);
  const some = names.slice(0, MOST_NAMES_TOLD).join(', ') + (names.length > MOST_NAMES_TOLD ? ' and others' : '');
  throw new Fault(
    'MODEL_NOT_FOUND',
    `the server at ${http.host} does not have ${model}; it has ${some || 'none'}: see --openai-model`,
  );
}

function entriesIn(listed: string, host: string): readonly Entry[] {
  try {
    const { data } = JSON.parse(listed) as { data: Entry[] };
    return data.filter((entry) => typeof entry === 'object' && entry !== null);
  } catch (cause) {
    const why = `the server at ${host} does not speak the API of OpenAI: its list of models is none; is --openai-url right?`;
    throw new Fault('ENGINE_FAILED', why, { cause });
  }
}

async function identify(http: Http, entry: Entry | undefined): Promise<Pick<Server, 'dialect' | 'name' | 'contextLength'>> {
  const owner = text(entry?.owned_by);
  const contextLength = count(entry?.max_model_len);
  if (owner === 'vllm') {
    const { version } = await told(http, '/version');
    return { dialect: 'vllm', name: named('vllm', version), contextLength };
  }
  if (owner === 'llamacpp') {
    const props = await told(http, '/props');
    const settings = props.default_generation_settings as Entry | undefined;
    return { dialect: 'llama-server', name: named('llama-server', props.build_info), contextLength: count(settings?.n_ctx) };
  }
  if (owner === 'me') return { dialect: 'llama-cpp-python', name: 'llama-cpp-python', contextLength };
  // TGI names the model as its own owner.
  if (owner !== '' && owner === entry?.id) {
    const info = await told(http, '/info');
    const total = count(info.max_total_tokens);
    if (total !== undefined) return { dialect: 'tgi', name: named('tgi', info.version), contextLength: total };
  }
  return { dialect: 'other', name: 'unknown', contextLength };
}

async function told(http: Http, path: string): Promise<Entry> {
  try {
    return JSON.parse((await http.ask(path, AbortSignal.timeout(PATIENCE_MS))) ?? '{}') as Entry;
  } catch {
    return {};
  }
}

const digestOf = (origin: string) =>
  origin === '' ? '' : `sha256:${createHash('sha256').update(`openai ${origin}`).digest('hex')}`;
const text = (value: unknown) => (typeof value === 'string' ? value : '');
const count = (value: unknown) => (Number.isInteger(value) && (value as number) > 0 ? (value as number) : undefined);
const named = (server: string, version: unknown) => [server, text(version).slice(0, 64)].filter(Boolean).join(' ');

/** @throws Fault UNREACHABLE where the server is not there any more; one that is busy is there */
export async function lookAfter({ http }: Server): Promise<void> {
  try {
    await http.get('/models', AbortSignal.timeout(PATIENCE_MS));
  } catch (error) {
    if (error instanceof Refused && error.refusal.failure.reason !== 'DRAINING') return;
    const why = error instanceof Refused ? error.message : codeOf(error);
    throw new Fault('UNREACHABLE', `the server at ${http.host} cannot be reached (${why})`, { cause: error });
  }
}
