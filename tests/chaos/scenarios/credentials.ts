import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../../../client/index.ts';
import { Role } from '../../../proto/gen/infermesh/v1/types.ts';
import { bearer, digestOfSecret } from '../../../proto/transport/join-token.ts';
import { FakeNode } from '../../mesh/fake-node.ts';
import { CHAT, chatBytes, RawConnection } from '../../mesh/wire.ts';
import { TOKEN } from '../../support/mesh.ts';
import type { Scenario } from '../scenario.ts';
import { poll } from '../support/clock.ts';
import { Fleet } from '../support/fleet.ts';

const CALLS = 1000;
const NODES = 100;
const AT_ONCE = 50;

export const credentials: Scenario = {
  name: 'credentials',
  does: 'Clients and nodes come with credentials that are missing, wrong, or meant for something else, beside a client with a right one.',
  targets: [
    { figure: 'calls_let_in_wrongly', most: 0, unit: 'calls' },
    { figure: 'nodes_let_in_wrongly', most: 0, unit: 'nodes' },
    { figure: 'right_calls_refused', most: 0, unit: 'calls' },
  ],
  async run({ streams: calls = CALLS }) {
    const folder = mkdtempSync(join(tmpdir(), 'infermesh-chaos-tenants-'));
    const keys = {
      acme: `imk_${randomBytes(24).toString('base64url')}`,
      retired: `imk_${randomBytes(24).toString('base64url')}`,
    };
    const tenants = join(folder, 'tenants.yaml');
    writeFileSync(tenants, `tenants:\n  acme:\n    keys: ["${digestOfSecret(keys.acme)}"]\n`);
    // A router whose administration needs a key is asked how its nodes are with its own token.
    const node = { id: 'one', replay: 'rate=0,length=3', slots: 64 };
    try {
      await using fleet = await Fleet.start([node], { routerFlags: ['--tenants', tenants], adminToken: TOKEN });
      await using wire = new RawConnection(fleet.address);
      const body = chatBytes({ messages: [{ role: Role.ROLE_USER, text: 'hello' }], maxTokens: 3 });
      const call = async (authorization: string | undefined) =>
        (await wire.call(CHAT, body, authorization === undefined ? {} : { authorization })).code;
      const wrong = [
        undefined,
        '',
        'Bearer ',
        bearer('x'),
        bearer(keys.retired),
        bearer(TOKEN),
        `Basic ${keys.acme}`,
        keys.acme.slice(0, -1),
      ];
      const codes = new Map<number, number>();
      const figures = { calls_let_in_wrongly: 0, right_calls_refused: 0 };
      for (let n = 0; n < calls; n += AT_ONCE) {
        const wave = Array.from({ length: AT_ONCE }, async (_, i) => {
          const isRight = i % 10 === 0;
          const code = await call(isRight ? bearer(keys.acme) : wrong[(n + i) % wrong.length]);
          if (isRight && code !== 0) figures.right_calls_refused++;
          if (!isRight && code === 0) figures.calls_let_in_wrongly++;
          codes.set(code, (codes.get(code) ?? 0) + 1);
        });
        await Promise.all(wave);
      }
      const reasons = new Map<string, number>();
      const tokens = [null, 'wrong', `imj_${randomBytes(24).toString('base64url')}`, keys.acme];
      for (let n = 0; n < NODES; n++) {
        using stranger = new FakeNode(fleet.address, { id: `stranger-${n}`, token: tokens[n % tokens.length] as string | null });
        stranger.serve();
        const { reason } = await stranger.ended;
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
      using admin = connect(fleet.address, { apiKey: TOKEN });
      const nodes = await poll(() => admin.nodes(), 5000);
      const told = (all: ReadonlyMap<unknown, number>) => [...all].map(([what, count]) => `${what} (${count})`).join(', ');
      return {
        figures: {
          calls,
          nodes_that_tried: NODES,
          ...figures,
          nodes_let_in_wrongly: (nodes ?? []).filter(({ id }) => id.startsWith('stranger')).length,
        },
        notes: [`Calls ended with the gRPC codes ${told(codes)}; nodes with ${told(reasons)}.`],
      };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
