/** Breakers in a fleet that the test makes up. */
import type { FailureKind, Trial } from '../../../router/breakers/breakers.ts';
import { Breakers } from '../../../router/breakers/breakers.ts';
import type { FleetEvent } from '../../../telemetry/events.ts';
import { FakeClock, seeded } from '../../support/clock.ts';

export class World {
  readonly clock = new FakeClock();
  readonly told: FleetEvent[] = [];
  /** Breaker events in short. */
  readonly changes: string[] = [];
  /** Who serves which model. */
  readonly serving = new Map<string, Set<string>>();
  readonly stalled: string[] = [];
  /** Times a node may have been let in. */
  permitted = 0;
  readonly breakers: Breakers;

  constructor(nodes: readonly string[] = ['a', 'b'], model = 'm', seed = 1) {
    this.breakers = new Breakers({
      clock: this.clock,
      random: seeded(seed),
      tell: (event) => this.#take(event),
      servers: (name) => [...(this.serving.get(name) ?? [])],
      onPermit: () => this.permitted++,
      onStall: (node, name) => this.stalled.push(`${node} ${name}`),
    });
    for (const node of nodes) this.join(node, [model]);
  }

  join(node: string, models: readonly string[] = ['m'], epoch = 1): void {
    for (const model of models) this.serving.set(model, (this.serving.get(model) ?? new Set()).add(node));
    this.breakers.joined(node, epoch);
  }

  leave(node: string): void {
    for (const nodes of this.serving.values()) nodes.delete(node);
    this.breakers.left(node);
  }

  started(node = 'a', model = 'm'): Trial {
    return this.breakers.started(node, model);
  }

  fail(times: number, kind: FailureKind = 'transport', node = 'a', model = 'm'): void {
    for (let i = 0; i < times; i++) this.started(node, model).failed(kind);
  }

  succeed(times: number, node = 'a', model = 'm'): void {
    for (let i = 0; i < times; i++) this.started(node, model).succeeded();
  }

  permits(node = 'a', model = 'm'): boolean {
    return this.breakers.permits(node, model);
  }

  /** Opens the node's breaker and waits until it is half open. */
  toHalfOpen(node = 'a'): void {
    this.fail(3, 'transport', node);
    this.clock.advance(this.openMs);
  }

  /** Of the breaker that opened last. */
  get openMs(): number {
    return this.told.findLast((event) => event.type === 'breaker_opened')?.openMs ?? 0;
  }

  #take(event: FleetEvent): void {
    this.told.push(event);
    if (event.type === 'breaker_opened') this.changes.push(`${name(event)} opened: ${event.why}`);
    if (event.type === 'breaker_half_open') this.changes.push(`${name(event)} half open`);
    if (event.type === 'breaker_closed') this.changes.push(`${name(event)} closed: ${event.why}`);
  }
}

function name({ node, model }: { readonly node: string; readonly model?: string }): string {
  return model === undefined ? node : `${node}/${model}`;
}
