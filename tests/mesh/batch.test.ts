/** Batches on real processes: what becomes of each item, how many are at work, and what ends them. */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { replayText } from '../../nodes/backends/replay.ts';
import { Code } from '../../proto/contract/faults.ts';
import type { BatchRequest, BatchResponse } from '../../proto/gen/infermesh/v1/inference.ts';
import { BatchRequest as BatchRequestType, InferenceServiceClient } from '../../proto/gen/infermesh/v1/inference.ts';
import { Role } from '../../proto/gen/infermesh/v1/types.ts';
import { faultOfStatus } from '../../proto/transport/service-error.ts';
import type { TestMesh } from '../support/mesh.ts';
import { startMesh } from '../support/mesh.ts';
import { expectAtRest } from './rest.ts';

let mesh: TestMesh;
let inference: InferenceServiceClient;

beforeAll(async () => {
  mesh = await startMesh({
    nodes: [
      { engine: 'replay', model: 'quick', replay: 'rate=2000', slots: 4 },
      { engine: 'replay', model: 'slow', replay: 'rate=5', slots: 4 },
      { engine: 'replay', model: 'single', replay: 'rate=200', slots: 1 },
    ],
  });
  inference = new InferenceServiceClient(mesh.address, credentials.createInsecure());
});
afterEach(() => expectAtRest(mesh));
afterAll(async () => {
  inference.close();
  await mesh[Symbol.asyncDispose]();
});

type Call = ClientDuplexStream<BatchRequest, BatchResponse>;
type Outcomes = Map<string, BatchResponse['outcome']>;

const turn = (text: string) => [{ role: Role.ROLE_USER, text }];

function asking(id: string, model: string, maxTokens = 5, text = id): BatchRequest {
  const chat = { messages: turn(text), target: { $case: 'model', value: model } as const, maxTokens };
  return BatchRequestType.fromPartial({ id, item: { $case: 'chat', value: chat } });
}

const open = (deadlineMs = 30_000): Call => inference.batch(new Metadata(), { deadline: Date.now() + deadlineMs });

/** Reads to the end. */
async function outcomesOf(call: Call): Promise<{ readonly outcomes: Outcomes; readonly reason: string }> {
  const outcomes: Outcomes = new Map();
  try {
    for await (const { id, outcome } of call as AsyncIterable<BatchResponse>) {
      expect(outcomes.has(id)).toBe(false);
      outcomes.set(id, outcome);
    }
    return { outcomes, reason: 'OK' };
  } catch (thrown) {
    return { outcomes, reason: faultOfStatus(thrown as never).reason };
  }
}

async function all(requests: readonly BatchRequest[], deadlineMs?: number) {
  const call = open(deadlineMs);
  for (const request of requests) call.write(request);
  call.end();
  return outcomesOf(call);
}

describe('a batch', () => {
  it('answers each item under its id, whole', async () => {
    const ids = Array.from({ length: 50 }, (_, i) => `item-${i}`);
    const { outcomes, reason } = await all(ids.map((id) => asking(id, 'quick', 20)));
    expect(reason).toBe('OK');
    expect([...outcomes.keys()].toSorted()).toEqual(ids.toSorted());
    for (const [id, outcome] of outcomes) {
      if (outcome?.$case !== 'answer') throw new Error(`${id}: ${JSON.stringify(outcome)}`);
      expect(outcome.value.text).toBe(replayText(turn(id), 20));
      expect(outcome.value.started?.model).toBe('quick');
      expect(outcome.value.finished?.usage?.outputTokens).toBe(20);
    }
  });

  it('tells of an item that is wrong under its id, and goes on', async () => {
    const { outcomes, reason } = await all([
      asking('good', 'quick'),
      asking('wrong', 'quick', 999_999),
      asking('unknown', 'nobody-has-it'),
      BatchRequestType.fromPartial({ id: 'empty' }),
      asking('late window', 'quick'),
      asking('last', 'quick'),
    ]);
    expect(reason).toBe('INVALID_REQUEST');
    expect(outcomes.get('good')).toMatchObject({ $case: 'answer' });
    expect(outcomes.get('wrong')).toMatchObject({
      $case: 'failure',
      value: {
        code: Code.INVALID_ARGUMENT,
        reason: 'INVALID_REQUEST',
        message: 'max_tokens must be from 1 to 131072, received 999999',
      },
    });
    expect(outcomes.get('unknown')).toMatchObject({ $case: 'failure', value: { reason: 'MODEL_NOT_FOUND' } });
    expect(outcomes.get('empty')).toMatchObject({ $case: 'failure', value: { reason: 'INVALID_REQUEST' } });
    expect(outcomes.size).toBe(4);
  });
});
