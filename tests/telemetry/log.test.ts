import { describe, expect, it } from 'vitest';
import type { RequestEvent } from '../../telemetry/events.ts';
import { createLog, logFleet, logNode, logRequests } from '../../telemetry/log.ts';
import { watchAll } from '../../telemetry/observers.ts';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const METHOD = 'infermesh.v1.InferenceService/Chat';

function recording(options: { level?: string; pretty?: boolean } = {}) {
  const lines: string[] = [];
  const log = createLog({ name: 'router', ...options, to: { write: (line) => lines.push(line) } });
  return { log, lines, records: () => lines.map((line) => JSON.parse(line)) };
}

const attempt: RequestEvent = { type: 'attempt_started', epoch: 1, node: 'gpu-1', model: 'stories-15m' };

describe('the log', () => {
  it('tells each fleet event in one JSON line with the fields of the event', () => {
    const { log, records } = recording();
    const tell = logFleet(log);
    tell({ type: 'node_joined', node: 'gpu-1', epoch: 7, models: ['stories-15m'] });
    tell({ type: 'claim_clamped', node: 'gpu-1', field: 'models[0].slots', received: 1e9, used: 4096 });
    expect(records()).toMatchObject([
      {
        level: 'info',
        name: 'router',
        event: 'node_joined',
        node: 'gpu-1',
        epoch: 7,
        models: ['stories-15m'],
        msg: 'node joined',
      },
      { level: 'warn', event: 'claim_clamped', field: 'models[0].slots', received: 1e9, used: 4096 },
    ]);
    expect(records()[0].time).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  it('warns of a node that took requests with it, and not of one that said goodbye', () => {
    const { log, records } = recording();
    logFleet(log)({ type: 'node_left', node: 'a', reason: 'goodbye', lost: 0 });
    logFleet(log)({ type: 'node_left', node: 'b', reason: 'disconnected', lost: 2 });
    logFleet(log)({ type: 'node_left', node: 'c', reason: 'expired', lost: 0 });
    expect(records().map(({ level }) => level)).toEqual(['info', 'warn', 'warn']);
  });

  it('tells what a node goes through', () => {
    const { log, records } = recording();
    logNode(log)({ type: 'engine_crashed', model: 'stories-15m', message: 'signal SIGABRT', restartInMs: 500 });
    expect(records()).toMatchObject([{ level: 'error', event: 'engine_crashed', message: 'signal SIGABRT', restartInMs: 500 }]);
  });

  it('has one line for a request, at its end, with its trace', () => {
    const { log, records } = recording();
    const watch = logRequests(log).watch({ requestId: 'r-1', method: METHOD, traceparent: TRACEPARENT });
    watch.tell(attempt);
    watch.tell({ type: 'first_token', epoch: 1 });
    expect(records()).toEqual([]);
    const usage = { inputTokens: 12, outputTokens: 7, cachedInputTokens: 0 };
    watch.tell({ type: 'ended', outcome: 'finished', code: 0, tokens: 7, usage, migrations: 0 });
    const [line] = records();
    expect(line).toMatchObject({ level: 'info', request: 'r-1', outcome: 'finished', node: 'gpu-1', tokens: 7, inputTokens: 12 });
    expect(line.trace).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
    expect(line.firstTokenMs).toBeLessThanOrEqual(line.ms);
  });

  it('warns of a request that failed, with the reason', () => {
    const { log, records } = recording();
    const watch = logRequests(log).watch({ requestId: 'r-2', method: METHOD, traceparent: 'a stranger wrote this' });
    watch.tell({ type: 'ended', outcome: 'failed', code: 14, reason: 'NO_NODE', tokens: 0, migrations: 0 });
    expect(records()).toMatchObject([{ level: 'warn', outcome: 'failed', reason: 'NO_NODE', msg: 'request failed' }]);
    expect(JSON.stringify(records())).not.toContain('stranger');
  });

  it('takes the trace from the observer that it is put after', () => {
    const { log, records } = recording();
    const told: RequestEvent[] = [];
    const tracing = {
      watch: () => ({
        wantsContent: false,
        tell: (event: RequestEvent) => told.push(event),
        traceparent: () => TRACEPARENT,
        traceId: () => 'the trace',
      }),
    };
    const watch = watchAll(tracing, logRequests(log)).watch({ requestId: 'r-3', method: METHOD });
    watch.tell({ type: 'ended', outcome: 'cancelled', code: 1, reason: 'CANCELLED', tokens: 0, migrations: 0 });
    expect(records()[0].trace).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
    expect(told).toHaveLength(1);
    expect([watch.traceparent(), watch.traceId()]).toEqual([TRACEPARENT, 'the trace']);
  });

  it('is silent below its level', () => {
    const { log, lines } = recording({ level: 'warn' });
    logFleet(log)({ type: 'node_draining', node: 'a' });
    logFleet(log)({ type: 'node_suspect', node: 'a', silentMs: 2600 });
    expect(lines).toHaveLength(1);
  });

  it('refuses a level that does not exist', () => {
    expect(() => createLog({ name: 'router', level: 'loud' })).toThrow('received "loud"');
  });

  it('is readable for people, and safe for their terminals', () => {
    const { log, lines } = recording({ pretty: true });
    logNode(log)({ type: 'engine_crashed', model: 'stories-15m', message: 'gone\n\u001b[2J\u009b2J', restartInMs: 500 });
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d ERROR engine crashed model=stories-15m message="gone.* restartInMs=500\n$/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(lines[0]?.trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });
});
