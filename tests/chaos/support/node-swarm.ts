/**
 * Many nodes that only register and report, in a process of their own, each on a connection of its own. Run as a script:
 * ADDRESS TOKEN NODES WITHIN_MS; says 'registered' when every one has its welcome.
 */
import { credentials, Metadata } from '@grpc/grpc-js';
import type { AttachRequest, AttachResponse } from '../../../proto/gen/infermesh/v1/link.ts';
import { Inventory, LinkServiceClient, Report } from '../../../proto/gen/infermesh/v1/link.ts';
import { NodeState, ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import { bearer } from '../../../proto/transport/join-token.ts';
import { monotonicMs } from './clock.ts';

const [address = '', token = '', nodes = '0', withinMs = '1000'] = process.argv.slice(2);
const count = Number(nodes);
const startedAt = monotonicMs();
let welcomed = 0;
const refused: string[] = [];

function register(number: number): void {
  const client = new LinkServiceClient(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const metadata = new Metadata();
  metadata.set('authorization', bearer(token));
  const call = client.attach(metadata);
  const send = (frame: NonNullable<AttachRequest['frame']>) => call.write({ frame });
  const report = () => send({ $case: 'report', value: Report.fromPartial({ state: NodeState.NODE_STATE_SERVING }) });
  call.on('error', (error: Error) => {
    if (refused.push(error.message) <= 3) process.stderr.write(`node ${number}: ${error.message}\n`);
  });
  call.once('data', (response: AttachResponse) => {
    if (response.frame?.$case !== 'welcome') return;
    const model = ServedModel.fromPartial({ name: 'swarm', slots: 4, contextLength: 4096 });
    send({ $case: 'inventory', value: Inventory.fromPartial({ models: [model] }) });
    report();
    const reporting = setInterval(report, 1000);
    call.once('close', () => clearInterval(reporting));
    if (++welcomed === count) process.send?.({ type: 'registered', ms: monotonicMs() - startedAt });
  });
  send({ $case: 'hello', value: { nodeId: `swarm-${number}`, epoch: 1, version: '0', zone: '', labels: {} } });
}

for (let number = 0; number < count; number++) setTimeout(() => register(number), (number * Number(withinMs)) / count);
process.on('disconnect', () => process.exit());
