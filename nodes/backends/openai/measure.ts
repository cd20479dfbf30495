/** Warms a server up, measures it and finds out what it can do, with requests as any other. */
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import type { Backend, Job, Outcome } from '../backend.ts';
import { asFault } from '../job-run.ts';
import type { SchemaForm } from './request.ts';

type Generates = Pick<Backend, 'generate'>;

export interface Rates {
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** Of about 60 tokens. */
const MEASURED = `Tell a story about a small dragon. ${'The sun went down behind the hills and the lake was still. '.repeat(4)}`;
const MEASURED_TOKENS = 24;

/** A word that comes up under the schema alone. */
const PROBE_WORD = 'vulpine 4711';
const PROBE_SCHEMA = JSON.stringify({
  type: 'object',
  properties: { word: { enum: [PROBE_WORD] } },
  required: ['word'],
  additionalProperties: false,
});
const PROBE_TOKENS = 64;

/** @throws Fault with what the server refused the request for */
export async function measure(engine: Generates): Promise<Rates> {
  // The first request pays for whatever the server makes ready at its first.
  await ask(engine, jobOf(MEASURED, { maxTokens: 1 }));
  const { inputTokens, outputTokens, firstMs, lastMs, totalMs } = await ask(
    engine,
    jobOf(MEASURED, { maxTokens: MEASURED_TOKENS }),
  );
  const decodeMs = lastMs - firstMs;
  // A server that gives everything in one chunk tells no more than how long it took.
  const decode = decodeMs > 0 && outputTokens > 1 ? ((outputTokens - 1) * 1000) / decodeMs : (outputTokens * 1000) / totalMs;
  return { prefillTokensPerSecond: (inputTokens * 1000) / firstMs, decodeTokensPerSecond: decode };
}

/**
 * @param using an engine that sends schemas in that form
 * @returns the first form in which the server holds an answer to a schema; many take one and pass over it
 */
export async function probeSchemaForm(
  forms: readonly SchemaForm[],
  using: (form: SchemaForm) => Generates,
): Promise<SchemaForm | undefined> {
  for (const form of forms) {
    try {
      const job = jobOf('Answer in JSON with one word.', { maxTokens: PROBE_TOKENS, jsonSchema: PROBE_SCHEMA });
      const { text } = await ask(using(form), job);
      if ((JSON.parse(text) as { word?: unknown }).word === PROBE_WORD) return form;
    } catch {
      // Refused, or no JSON: the server does not know the form.
    }
  }
  return undefined;
}

interface Asked {
  readonly text: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Since the request: the first token, the last one, the end. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly totalMs: number;
}

async function ask(engine: Generates, job: Job): Promise<Asked> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const start = performance.now();
  let text = '';
  let firstMs = 0;
  let lastMs = 0;
  engine.generate(job, {
    prefilling: () => {},
    delta: (_seq, _tokens, piece) => {
      lastMs = performance.now() - start;
      firstMs ||= lastMs;
      text += piece;
    },
    end: (outcome) => resolve(outcome),
  });
  const outcome = await promise;
  if (outcome.type === 'failure') throw asFault(outcome);
  const totalMs = performance.now() - start;
  const { inputTokens, outputTokens } = outcome.usage;
  return { text, inputTokens, outputTokens, firstMs: firstMs || totalMs, lastMs, totalMs };
}

function jobOf(prompt: string, job: Partial<Job>): Job {
  return { messages: [{ role: Role.ROLE_USER, text: prompt }], sampling: {}, maxTokens: 1, stop: [], jsonSchema: '', ...job };
}
