/** Routers, as far as they share, on one store. Only their rounds take time, and a test turns it. */
import { SecretKeyring } from '../../../cache/keyring.ts';
import type { Store } from '../../../cache/port.ts';
import { ServedModel } from '../../../proto/gen/infermesh/v1/types.ts';
import { Breakers } from '../../../router/breakers/breakers.ts';
import { Locality } from '../../../router/fleet/locality.ts';
import type { NodeLink } from '../../../router/fleet/node-link.ts';
import { Sessions } from '../../../router/fleet/sessions.ts';
import { Learned } from '../../../router/share/learned.ts';
import type { Sharing } from '../../../router/share/share.ts';
import { ROUND_MS, shareThrough } from '../../../router/share/share.ts';
import type { Quota } from '../../../router/trust/quotas.ts';
import { Quotas } from '../../../router/trust/quotas.ts';
import type { FleetEvent } from '../../../telemetry/events.ts';
import type { FakeClock } from '../../support/clock.ts';
import { seeded } from '../../support/clock.ts';

export const MODEL = ServedModel.create({ name: 'm', slots: 4 });

/** In which each router has one round. */
export const ROUND_TURN_MS = 1.3 * ROUND_MS;

export interface TestShare {
  readonly id: string;
  readonly clock: FakeClock;
  readonly learned: Learned;
  readonly quotas: Quotas;
  readonly sessions: Sessions;
  readonly locality: Locality;
  readonly breakers: Breakers;
  readonly told: FleetEvent[];
  readonly sharing: Sharing;
}

export interface TestShareOptions {
  readonly id: string;
  readonly store: Pick<Store, 'getAll' | 'set' | 'delete'>;
  readonly clock: FakeClock;
  readonly quota?: Quota;
  readonly learned?: Learned;
}

export function startShare({ id, store, clock, quota = {}, learned = new Learned({ clock }) }: TestShareOptions): TestShare {
  const told: FleetEvent[] = [];
  const random = seeded([...id].reduce((sum, letter) => sum + letter.charCodeAt(0), 0));
  const quotas = new Quotas(
    () => clock.now(),
    () => quota,
  );
  const sessions = new Sessions(clock);
  const locality = new Locality();
  const breakers = new Breakers({
    clock,
    random,
    tell: (event) => told.push(event),
    servers: () => ['node-1', 'node-2'],
    onPermit: () => {},
    onStall: () => {},
  });
  for (const node of ['node-1', 'node-2']) breakers.joined(node, 1);
  const links = new Map(['node-1', 'node-2'].map((node) => [node, { id: node, models: [MODEL] } as unknown as NodeLink]));
  const sharing = shareThrough({
    store,
    keys: new SecretKeyring('of the mesh'),
    router: id,
    clock,
    random,
    learned,
    quotas,
    sessions,
    fleet: { get: (node) => links.get(node), locality, breakers },
    tell: (event) => told.push(event),
  });
  return { id, clock, learned, quotas, sessions, locality, breakers, told, sharing };
}

/** So many rounds of each, one after the other, as fast as the store goes. */
export async function rounds(clock: FakeClock, shares: readonly TestShare[], count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const before = shares.map(({ sharing }) => sharing.figures().finished);
    clock.advance(ROUND_TURN_MS);
    for (const [n, { sharing }] of shares.entries()) {
      while (sharing.figures().finished === before[n]) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
