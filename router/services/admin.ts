/** AdminService: the fleet as this router sees it, and what the router holds. */

import { Fault, invalid } from '../../proto/contract/faults.ts';
import type { FleetModel, GetStatsResponse, Node } from '../../proto/gen/infermesh/v1/admin.ts';
import {
  ControlModelRequest,
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
  DrainNodeRequest,
  DrainNodeResponse,
  GetCacheStatsRequest,
  GetCacheStatsResponse,
  GetStatsRequest,
  GetStatsResponse as GetStatsResponseType,
  ListModelsRequest,
  ListModelsResponse,
  ListNodesRequest,
  ListNodesResponse,
  PurgeCacheRequest,
  PurgeCacheResponse,
  WatchNodesRequest,
  WatchNodesResponse,
} from '../../proto/gen/infermesh/v1/admin.ts';
import type { EventStream } from '../../proto/transport/event-stream.ts';
import { framed } from '../../proto/transport/framing.ts';
import type { CallContext, StreamHandler, UnaryHandler } from '../../proto/transport/handlers.ts';
import { serverStream, unary } from '../../proto/transport/handlers.ts';
import type { Handler } from '../../proto/transport/server.ts';
import type { Clock } from '../clock.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeLink } from '../fleet/node-link.ts';
import type { ShareFigures } from '../ledger/shares.ts';
import type { Tally } from '../tally.ts';
import type { Callers } from '../trust/callers.ts';
import type { NodeGate } from '../trust/node-gate.ts';
import { JOIN_TOKEN_TTL_MS } from '../trust/node-gate.ts';
import type { CacheAdmin } from './cache-admin.ts';
import { controlModel } from './control-model.ts';
import { checkNodeId } from './link-bounds.ts';

export interface AdminParts {
  readonly fleet: Fleet;
  readonly room: { readonly size: number };
  readonly tally: Tally;
  readonly ledger: { figures(): ShareFigures };
  readonly clock: Clock;
  readonly routerId: string;
  readonly version: string;
  readonly callers: Callers;
  readonly gate: NodeGate;
  readonly cache: CacheAdmin;
}

const DRAIN_MS = { low: 0, high: 3_600_000, usual: 30_000 };
const WATCH_INTERVAL_MS = { low: 100, high: 60_000, usual: 1000 };

export function adminHandlers(parts: AdminParts): Record<string, Handler> {
  const { callers, fleet } = parts;
  const forReaders = (handler: Handled) => checked(handler, (context) => callers.checkReader(context));
  const forAdmins = (handler: Handled) => checked(handler, (context) => callers.checkAdmin(context));
  return {
    listNodes: forReaders(unary(ListNodesRequest, ListNodesResponse, 'ListNodesRequest', () => ({ nodes: nodesOf(parts) }))),
    listModels: forReaders(
      unary(ListModelsRequest, ListModelsResponse, 'ListModelsRequest', () => ({ models: modelsOf(fleet) })),
    ),
    getStats: forReaders(unary(GetStatsRequest, GetStatsResponseType, 'GetStatsRequest', () => statsOf(parts))),
    drainNode: forReaders(unary(DrainNodeRequest, DrainNodeResponse, 'DrainNodeRequest', (request) => drainNode(request, parts))),
    watchNodes: forReaders(
      serverStream(WatchNodesRequest, 'WatchNodesRequest', (request, stream) => watchNodes(request, stream, parts)),
    ),
    getCacheStats: forReaders(
      unary(GetCacheStatsRequest, GetCacheStatsResponse, 'GetCacheStatsRequest', () => parts.cache.stats()),
    ),
    purgeCache: forReaders(
      unary(PurgeCacheRequest, PurgeCacheResponse, 'PurgeCacheRequest', (request) => parts.cache.purge(request)),
    ),
    controlModel: forAdmins(
      serverStream(ControlModelRequest, 'ControlModelRequest', (request, stream) => controlModel(request, stream, fleet)),
    ),
    createJoinToken: forAdmins(
      unary(CreateJoinTokenRequest, CreateJoinTokenResponse, 'CreateJoinTokenRequest', (request) => joinToken(request, parts)),
    ),
  };
}

type Handled = UnaryHandler | StreamHandler;

/** Looks at who calls before anything of the request is read. */
function checked(handler: Handled, check: (context: CallContext) => void): Handled {
  if (handler.kind === 'unary') {
    const handle: UnaryHandler['handle'] = (bytes, context) => {
      check(context);
      return handler.handle(bytes, context);
    };
    return { kind: 'unary', handle };
  }
  const handle: StreamHandler['handle'] = (bytes, stream, context) => {
    check(context);
    return handler.handle(bytes, stream, context);
  };
  return { kind: 'stream', handle };
}

/** @throws Fault INVALID_REQUEST */
function joinToken({ nodeId, ttlSeconds }: CreateJoinTokenRequest, { gate }: AdminParts): CreateJoinTokenResponse {
  if (nodeId !== '') checkNodeId(nodeId);
  const { low, high, usual } = JOIN_TOKEN_TTL_MS;
  const ttlMs = ttlSeconds === undefined ? usual : ttlSeconds * 1000;
  if (ttlMs < low || ttlMs > high) {
    const description = `must be from ${low / 1000} to ${high / 1000}, received ${ttlSeconds}`;
    throw invalid([{ field: 'ttl_seconds', description }]);
  }
  const { token, expiresAt } = gate.newToken(nodeId || undefined, ttlMs);
  return { token, expiresAt: Math.floor(expiresAt / 1000) };
}

/** @throws Fault INVALID_REQUEST or NODE_UNKNOWN */
function drainNode({ nodeId, limitMs = DRAIN_MS.usual }: DrainNodeRequest, { fleet }: AdminParts): DrainNodeResponse {
  const { low, high } = DRAIN_MS;
  if (limitMs > high) {
    throw invalid([{ field: 'limit_ms', description: `must be from ${low} to ${high}, received ${limitMs}` }]);
  }
  const link = fleet.get(nodeId);
  if (!link) throw new Fault('NODE_UNKNOWN', 'no node with that id is attached to this router');
  link.drain(limitMs);
  return { inFlight: link.attempts };
}

function nodesOf({ fleet, clock }: AdminParts): Node[] {
  return fleet.links.map((link) => nodeOf(link, clock.now())).toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function nodeOf(link: NodeLink, now: number): Node {
  const { hello, report } = link;
  return {
    id: link.id,
    epoch: hello.epoch,
    state: link.state,
    version: hello.version,
    zone: hello.zone,
    labels: hello.labels,
    hardware: hello.hardware,
    models: [...link.models],
    loads: [...link.loads],
    inFlight: link.reservations.requests,
    memoryUsedBytes: report?.memoryUsedBytes ?? 0,
    cpuUse: report?.cpuUse ?? 0,
    engineCrashes: report?.engineCrashes ?? 0,
    connectedSeconds: (now - link.connectedAt) / 1000,
    reportAgeMs: now - link.lastHeardAt,
    gpus: report?.gpus ?? [],
    pressure: report?.pressure,
  };
}

function modelsOf(fleet: Fleet): FleetModel[] {
  const byName = new Map<string, FleetModel>();
  for (const link of fleet.links) {
    for (const model of link.models) {
      const known = byName.get(model.name) ?? { model, nodes: [], loadableOn: [], loadMs: 0 };
      byName.set(model.name, known);
      const cold = fleet.onDemand.coldOf(link, model);
      if (cold) {
        known.loadMs = known.loadableOn.length === 0 ? cold.readyMs : Math.min(known.loadMs, cold.readyMs);
        known.loadableOn.push(link.id);
      } else {
        // Measured, where the others say what they expect.
        if (known.nodes.length === 0) known.model = model;
        known.nodes.push(link.id);
      }
    }
  }
  return [...byName.values()];
}

function statsOf({ fleet, room, tally, ledger, routerId, version }: AdminParts): GetStatsResponse {
  const { user, system } = process.cpuUsage();
  return {
    routerId,
    version,
    uptimeSeconds: process.uptime(),
    nodes: fleet.links.length,
    requestsOpen: tally.requestsOpen,
    requestsWaiting: room.size,
    attemptsOpen: tally.attemptsOpen,
    requestsFinished: tally.ended.finished,
    requestsFailed: tally.ended.failed,
    requestsCancelled: tally.ended.cancelled,
    tokensRelayed: tally.tokensRelayed,
    migrations: tally.migrations,
    retries: tally.retries,
    hedges: tally.hedges,
    requestsCached: tally.cached,
    savedUsd: tally.savedUsd,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    claimsClamped: fleet.claimsClamped,
    ...ledger.figures(),
  };
}

/** Sends the fleet at once and after changes, never more than one message that the watcher has not taken. */
function watchNodes({ intervalMs }: WatchNodesRequest, stream: EventStream, parts: AdminParts): void {
  const { low, high, usual } = WATCH_INTERVAL_MS;
  const interval = intervalMs ?? usual;
  if (interval < low || interval > high) {
    throw invalid([{ field: 'interval_ms', description: `must be from ${low} to ${high}, received ${interval}` }]);
  }
  let changed = true;
  const send = () => {
    if (!changed || stream.held > 0) return;
    changed = false;
    stream.write(framed(WatchNodesResponse.encode({ nodes: nodesOf(parts) }).finish()));
  };
  const unsubscribe = parts.fleet.onChange(() => {
    changed = true;
  });
  const stop = parts.clock.every(interval, send);
  stream.onGone = () => {
    unsubscribe();
    stop();
  };
  send();
}
