/** The door of this folder: a router in this process, with its log and traces. */

import { dirname, join } from 'node:path';
import type { OpenCache } from '../cache/index.ts';
import { openCache, openNoCache } from '../cache/index.ts';
import { VERSION } from '../proto/contract/version.ts';
import { isExposed, readOrCreateSecret, readOrCreateToken } from '../proto/transport/join-token.ts';
import type { CacheEvent } from '../telemetry/cache-events.ts';
import { logCache } from '../telemetry/cache-events.ts';
import type { Tell } from '../telemetry/events.ts';
import { fullest, openMemory } from '../telemetry/host/memory.ts';
import type { Log } from '../telemetry/log.ts';
import { createLog, logFleet, logRequests } from '../telemetry/log.ts';
import { watchAll } from '../telemetry/observers.ts';
import { startTelemetry } from '../telemetry/sdk.ts';
import { requestSpans } from '../telemetry/spans.ts';
import { openClassifier } from './classifier.ts';
import { systemClock } from './clock.ts';
import { LearnedFile, readLearned } from './learned-file.ts';
import { DecisionLog } from './ledger/decision-log.ts';
import { DEFAULT_POLICIES, readPolicies } from './policy-file.ts';
import { Router } from './router.ts';
import type { RouterSettings } from './settings.ts';
import type { Learned } from './share/learned.ts';
import { shareThrough } from './share/share.ts';
import { TenantsFile } from './trust/tenants-file.ts';

export { openClassifier } from './classifier.ts';
export { type Classification, TIERS } from './classify/classification.ts';
export { learnModels, type ScoredPrompt, type WarmModels } from './classify/warm.ts';
export { learnRank, type ModelPair } from './classify/warm-rank.ts';
export { readEntries, Skipped } from './ledger/log-reader.ts';
export { Replay, type ReplayReport } from './ledger/replay.ts';
export { type Policies, readPolicies } from './policy-file.ts';
export { type RouterSettings, routerSchema, routerSettings } from './settings.ts';

export interface RunningRouter {
  readonly id: string;
  /** HOST:PORT it really listens on. */
  readonly address: string;
  /** Drains and ends; resolves when everything is gone. */
  close(): Promise<void>;
}

/** @throws Fault UNREACHABLE when the address can't be had, INVALID_REQUEST when a file can't be used */
export async function startRouter(
  settings: RouterSettings,
  { log = createLog({ name: 'router', level: settings.logLevel }) }: { log?: Log } = {},
): Promise<RunningRouter> {
  const learned = readLearned(settings.learned, systemClock);
  const policies = settings.policy === undefined ? DEFAULT_POLICIES : readPolicies(settings.policy);
  const decisions = openDecisionLog(settings, log);
  const tenants = openTenants(settings, log);
  const tellCache = logCache(log);
  const cache = await cacheOf(settings, tellCache);
  const { shared } = cache;
  const tellFleet = logFleet(log);
  const router = new Router({
    settings,
    token: readOrCreateToken(settings.tokenFile),
    version: VERSION,
    observer: watchAll(requestSpans(), logRequests(log)),
    tellFleet,
    onDefect: (method, { cause }) => log.error({ event: 'defect', method, ...traceOf(cause) }, 'a handler failed'),
    classifier: openClassifier(),
    policies,
    tenants,
    bandit: learned.bandit,
    logDecision: (entry) => decisions?.append(entry),
    cache,
    tellCache,
    share: shared && ((own) => shareThrough({ ...shared, ...own, learned, tell: tellFleet })),
  });
  const learnedFile = keepLearned(settings, learned, log);
  const warn = (message: string) => log.warn({ event: 'telemetry' }, message);
  const telemetry = await startTelemetry({ serviceName: 'infermesh-router', serviceInstanceId: router.id, warn });
  const close = async () => {
    await router.close();
    tenants?.[Symbol.dispose]();
    learnedFile?.close();
    await decisions?.close();
    await cache.cache[Symbol.asyncDispose]();
    await telemetry.shutdown();
  };
  const port = await router.listen().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const address = settings.listen.replace(/:\d+$/, `:${port}`);
  warnOfExposed(settings, log);
  return { id: router.id, address, close };
}

function warnOfExposed(settings: RouterSettings, log: Log): void {
  const warn = (event: string, what: string) => log.warn({ event }, `others on this machine can read the ${what}: chmod 600`);
  if (isExposed(settings.tokenFile)) warn('token_exposed', 'join token');
  if (settings.cache && isExposed(cacheSecretFile(settings))) warn('cache_secret_exposed', 'cache secret');
}

/** Beside the token unless it is told. */
function cacheSecretFile({ cacheSecret, tokenFile }: RouterSettings): string {
  return cacheSecret ?? join(dirname(tokenFile), 'cache-secret');
}

function openDecisionLog({ decisionLog: folder }: RouterSettings, log: Log): DecisionLog | undefined {
  if (folder === undefined) return undefined;
  const warn = (code: string) => log.warn({ event: 'decision_log', code }, 'lines of the decision log are lost');
  return new DecisionLog({ folder, clock: systemClock, wallClock: () => systemClock.wall(), warn });
}

async function cacheOf(settings: RouterSettings, tell: Tell<CacheEvent>): Promise<OpenCache> {
  const { cache, cacheMemoryMb, cacheSnapshot, redis } = settings;
  if (!cache) return openNoCache(systemClock);
  const memory = openMemory();
  return openCache({
    secret: readOrCreateSecret(cacheSecretFile(settings), 'cache secret'),
    memoryBytes: cacheMemoryMb * 2 ** 20,
    url: redis,
    snapshot: cacheSnapshot,
    memory: () => fullest(memory()),
    clock: systemClock,
    tell,
  });
}

function openTenants({ tenants: path }: RouterSettings, log: Log): TenantsFile | undefined {
  if (path === undefined) return undefined;
  return new TenantsFile({
    path,
    clock: systemClock,
    onRead: (tenants) => log.info({ event: 'tenants_read', tenants }, 'the tenants file has changed and was read'),
    onKept: (problem) =>
      log.error({ event: 'tenants_kept', problem }, 'the tenants file has changed and cannot be used; what it said before holds'),
  });
}

function keepLearned({ learned: path }: RouterSettings, learned: Learned, log: Log): LearnedFile | undefined {
  if (path === undefined) return undefined;
  return new LearnedFile(path, learned, systemClock, (message) => log.warn({ event: 'learned' }, message));
}

/** Where it happened, without the error's message, which may quote what a user sent. */
function traceOf(cause: unknown): Record<string, unknown> {
  if (!(cause instanceof Error)) return { kind: typeof cause };
  return { kind: cause.name, stack: cause.stack?.split('\n').filter((line) => /^\s+at /.test(line)) };
}
