import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../proto/contract/faults.ts';
import { AttachRequest, Embedded, Inventory, Progress, Report } from '../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../proto/gen/infermesh/v1/types.ts';
import type { RawDuplex } from '../../proto/transport/handlers.ts';
import { bearer } from '../../proto/transport/join-token.ts';
import { Fleet } from '../../router/fleet/fleet.ts';
import { linkHandlers } from '../../router/services/link.ts';
import { NodeGate } from '../../router/trust/node-gate.ts';
import { TrustFolder } from '../../router/trust/trust-folder.ts';
import type { FleetEvent } from '../../telemetry/events.ts';
import { FakeClock } from '../support/clock.ts';

const TOKEN = 'a-join-token-for-tests-only';

const folder = '/nonexistent/trust';
let clock: FakeClock;
let fleet: Fleet;
let told: FleetEvent[];
let defects: Fault[];
let attach: ReturnType<typeof linkHandlers>['attach'];

beforeEach(() => {
  clock = new FakeClock();
  told = [];
  defects = [];
  const tell = (event: FleetEvent) => told.push(event);
  fleet = new Fleet(clock, tell);
  const gate = new NodeGate({ token: TOKEN, folder: new TrustFolder(folder), clock });
  const onDefect = (_method: string, fault: Fault) => defects.push(fault);
  attach = linkHandlers({ fleet, clock, gate, routerId: 'r', tell, onDefect }).attach;
});

afterEach(() => fleet.stop());

/** A stream from a node, which says `frames` and keeps what the router ended it with. */
class Call extends EventEmitter {
  cancelled = false;
  writableEnded = false;
  errors: Error[] = [];
  readonly #peer: string;

  constructor(peer = '10.0.0.1:5000') {
    super();
    this.#peer = peer;
    this.on('error', (error) => this.errors.push(error));
  }

  getPeer() {
    return this.#peer;
  }

  write() {
    return true;
  }

  end() {}

  say(frame: NonNullable<AttachRequest['frame']>) {
    this.emit('data', Buffer.from(AttachRequest.encode({ frame }).finish()));
  }
}

function open(call: Call, token = TOKEN): void {
  const metadata = (name: string) => (name === 'authorization' ? bearer(token) : undefined);
  attach.handle(call as unknown as RawDuplex, { metadata, remainingMs: undefined, certificateNames: () => [] });
}

function joined(): Call {
  const call = new Call();
  open(call);
  call.say({ $case: 'hello', value: { nodeId: 'n', epoch: 1, version: '', zone: '', labels: {}, hardware: undefined } });
  const models = [ServedModel.fromPartial({ name: 'm', slots: 1, contextLength: 100 })];
  call.say({ $case: 'inventory', value: Inventory.fromPartial({ models }) });
  return call;
}

const report = { $case: 'report', value: Report.fromPartial({ state: NodeState.NODE_STATE_SERVING }) } as const;

describe('a link', () => {
  it('outlives a defect of ours, which is told as one', () => {
    const call = joined();
    let failing = true;
    fleet.onChange(() => {
      if (failing) throw new TypeError('x');
    });
    call.say(report);
    expect(defects).toMatchObject([{ reason: 'INTERNAL', cause: { name: 'TypeError' } }]);
    failing = false;
    call.say(report);
    expect(call.errors).toEqual([]);
    expect(fleet.get('n')?.state).toBe(NodeState.NODE_STATE_SERVING);
  });

  it('ends with a frame that is none, which is no defect of ours', () => {
    const call = joined();
    call.emit('data', Buffer.from([0xff, 0xff, 0xff]));
    expect(call.errors).toHaveLength(1);
    expect(defects).toEqual([]);
    expect(fleet.get('n')).toBeUndefined();
    expect(told).toContainEqual(expect.objectContaining({ type: 'node_left', reason: 'protocol_error' }));
  });

  it('ends with a report out of bounds', () => {
    const call = joined();
    call.say({ $case: 'report', value: Report.fromPartial({ loads: Array.from({ length: 257 }, () => ({ model: 'm' })) }) });
    expect(call.errors[0]?.message).toContain('report.loads must be at most 256, received 257');
  });
});

describe('vectors', () => {
  const embed = { model: 'm', texts: ['x'], deadlineMs: 1000, traceparent: '' };

  it('reach who asked for them, once, and show that the node lives', () => {
    const call = joined();
    call.say(report);
    const came: Embedded[] = [];
    const port = { embedded: (embedded: Embedded) => came.push(embedded), lost() {} };
    const request = fleet.get('n')!.embed(embed, port);
    clock.advance(3000);
    const embedded = { $case: 'embedded', value: Embedded.fromPartial({ request, vectors: [{ values: [1] }] }) } as const;
    call.say(embedded);
    call.say(embedded);
    call.say({ $case: 'embedded', value: Embedded.fromPartial({ request: 99 }) });
    expect(came).toMatchObject([{ vectors: [{ values: [1] }] }]);
    expect(fleet.get('n')?.state).toBe(NodeState.NODE_STATE_SERVING);
    expect([call.errors, defects]).toEqual([[], []]);
  });

  it('that were asked for are lost with the node, and those of a node that is gone at once', () => {
    const call = joined();
    const link = fleet.get('n')!;
    const lost: string[] = [];
    const port = { embedded() {}, lost: ({ reason }: Fault) => lost.push(reason) };
    link.embed(embed, port);
    call.emit('cancelled');
    expect(lost).toEqual(['NODE_LOST']);
    link.embed(embed, port);
    expect(lost).toEqual(['NODE_LOST', 'NODE_LOST']);
  });
});

describe('a node that sends tokens faster than its reports come through', () => {
  it('keeps its lease, and has it back by them', () => {
    const call = joined();
    call.say(report);
    const progress = { $case: 'progress', value: Progress.fromPartial({}) } as const;
    for (let passed = 0; passed < 10_000; passed += 2000) {
      clock.advance(2000);
      call.say(progress);
    }
    expect(told.map(({ type }) => type)).not.toContain('node_suspect');
    clock.advance(3000);
    expect(fleet.get('n')?.state).toBe(NodeState.NODE_STATE_SUSPECT);
    call.say(progress);
    expect(fleet.get('n')?.state).toBe(NodeState.NODE_STATE_SERVING);
    expect(told.at(-1)).toMatchObject({ type: 'node_recovered', node: 'n' });
  });
});

describe('those who are not let in', () => {
  const refusals = () => told.flatMap((event) => (event.type === 'join_refused' ? [event.peer] : []));
  const knock = (peer: string) => expect(() => open(new Call(peer), 'wrong')).toThrow('the join token is wrong');

  it('are told of once for each host and minute', () => {
    for (let port = 1; port <= 100; port++) knock(`10.0.0.1:${port}`);
    knock('[::1]:1');
    knock('[::1]:2');
    expect(refusals()).toEqual(['10.0.0.1:1', '[::1]:1']);
    clock.advance(59_999);
    knock('10.0.0.1:200');
    expect(refusals()).toHaveLength(2);
    clock.advance(1);
    knock('10.0.0.1:201');
    expect(refusals()).toEqual(['10.0.0.1:1', '[::1]:1', '10.0.0.1:201']);
  });

  it('from very many hosts are told of up to a thousand a minute', () => {
    for (let host = 0; host < 1500; host++) knock(`10.0.${host >> 8}.${host & 255}:1`);
    expect(refusals()).toHaveLength(1000);
  });
});
