/** What a trace shows of a chat that several routers answered, asked by the command line. */
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { Fault } from '../../proto/contract/faults.ts';
import { ATTR, SPAN_EVENT } from '../../telemetry/names.ts';
import { startMember } from '../support/mesh.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { FakeRouter } from './fake-router.ts';

it('one chat is one span, with an event for each time it went on elsewhere', async () => {
  await using receiver = await startOtlpReceiver();
  await using one = await FakeRouter.start('one');
  await using two = await FakeRouter.start('two');
  one.onAsked = (asked) => asked.started().tokens(0, 12).fail(new Fault('DRAINING', 'shutting down'));
  const caller = startMember(['chat', '--json', '--router', `${one.address},${two.address}`, 'hello'], receiver.env);
  const [code] = await once(caller.process, 'close');
  expect(code).toBe(0);
  expect(caller.output().match(/"type":"started"/g)).toHaveLength(1);
  const [span, another] = await receiver.waitFor((spans) => spans.length > 0);
  expect(another).toBeUndefined();
  const portOf = ({ address }: FakeRouter) => Number(address.split(':')[1]);
  expect(span?.attributes).toMatchObject({
    [ATTR.serverPort]: portOf(one),
    [ATTR.responseId]: 'one-1',
    [ATTR.tokens]: 20,
    [ATTR.migrations]: 1,
    [ATTR.outcome]: 'finished',
  });
  expect(span?.events.map(({ name }) => name)).toEqual([SPAN_EVENT.firstToken, SPAN_EVENT.failover]);
  for (const fact of ['DRAINING', String(portOf(two))]) expect(receiver.text()).toContain(fact);
});
