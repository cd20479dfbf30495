/** What a --redis URL stands for. Pure; a password is never repeated in an error. */
import { invalid } from '../../proto/contract/faults.ts';

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

export interface RedisTarget {
  readonly kind: 'standalone' | 'sentinel' | 'cluster';
  /** The one server, the sentinels, or some of the cluster's. */
  readonly hosts: readonly RedisHost[];
  /** Sentinel only: by which the sentinels know the servers. */
  readonly masterName?: string;
  readonly db: number;
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
}

const FORMS =
  'must be redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis+sentinel://[USER:PASSWORD@]HOST[:PORT],.../MASTER[?db=DB] or ' +
  'redis+cluster://[USER:PASSWORD@]HOST[:PORT],..., with rediss for TLS';
const URL_FORM = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/(?:([^/?]*)@)?([^/?@]*)(?:\/([^/?]*))?(?:\?(.*))?$/;
const HOST_FORM = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/;
const MASTER_FORM = /^[A-Za-z0-9._-]{1,128}$/;
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
const MOST_HOSTS = 64;
const HIGHEST_DB = 65_535;

/** @throws Fault INVALID_REQUEST naming the setting, the forms and which part is none of them */
export function parseRedisUrl(url: string): RedisTarget {
  const parts = URL_FORM.exec(url);
  if (!parts) throw bad(`a URL of another form${schemeOf(url)}`);
  const [, scheme, mode, credentials, authority = '', path = '', query = ''] = parts;
  const kind = (mode ?? 'standalone') as RedisTarget['kind'];
  const hosts = authority.split(',').map((one) => hostOf(one, kind === 'sentinel' ? SENTINEL_PORT : REDIS_PORT));
  if (hosts.length > (kind === 'standalone' ? 1 : MOST_HOSTS)) throw bad(`${hosts.length} hosts`);
  if (kind === 'sentinel' && !MASTER_FORM.test(path)) throw bad('no name of a master in the path');
  if (kind === 'cluster' && (path !== '' || query !== '')) throw bad('a path or query, which a cluster has no use for');
  if (kind === 'standalone' && query !== '') throw bad('a query');
  return {
    kind,
    hosts,
    ...(kind === 'sentinel' ? { masterName: path } : {}),
    db: kind === 'sentinel' ? dbOfQuery(query) : dbOf(path),
    tls: scheme === 'rediss',
    ...credentialsOf(credentials),
  };
}

function bad(received: string) {
  return invalid([{ field: '--redis', description: `${FORMS}, received ${received}` }]);
}

/** The scheme alone: what follows may hold a password. */
function schemeOf(url: string): string {
  const [scheme] = /^[a-z+]{1,16}(?=:\/\/)/.exec(url) ?? [];
  return scheme === undefined ? '' : `, beginning with ${scheme}://`;
}

function hostOf(text: string, usualPort: number): RedisHost {
  const parts = HOST_FORM.exec(text);
  if (!parts) throw bad('a host that is not HOST, HOST:PORT or [IPV6]:PORT');
  const [, ipv6, name, digits] = parts;
  const port = digits === undefined ? usualPort : Number(digits);
  if (port < 1 || port > 65_535) throw bad('a port that is not from 1 to 65535');
  return { host: ipv6 ?? (name as string), port };
}

function dbOf(digits: string): number {
  if (digits === '') return 0;
  if (!/^\d{1,5}$/.test(digits) || Number(digits) > HIGHEST_DB) throw bad(`a database that is not from 0 to ${HIGHEST_DB}`);
  return Number(digits);
}

function dbOfQuery(query: string): number {
  if (query === '') return 0;
  if (!query.startsWith('db=')) throw bad('a query other than db=DB');
  return dbOf(query.slice('db='.length));
}

function credentialsOf(text: string | undefined): Pick<RedisTarget, 'username' | 'password'> {
  if (!text) return {};
  const colon = text.indexOf(':');
  if (colon === -1) throw bad('credentials without a colon');
  const [username, password] = [decoded(text.slice(0, colon)), decoded(text.slice(colon + 1))];
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad('credentials with a percent sign that encodes nothing');
  }
}
