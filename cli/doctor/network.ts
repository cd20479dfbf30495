/** The mesh's own port, and Redis. */
import { connect } from '../../client/index.ts';
import { duration } from '../output/units.ts';
import type { Finding } from './finding.ts';
import { missing, ok, warn } from './finding.ts';
import { tcpAsk } from './probe.ts';

const PONG = /^\+PONG/;
/** It runs, and asks for a password first. */
const LOCKED = /^-NOAUTH|^-NOPERM/;

/** @param address of the router that client commands ask */
export async function routerFinding(address: string): Promise<Finding> {
  const { host, port } = split(address);
  if ((await tcpAsk(host, port)) === undefined) {
    return ok('router', `none at ${address}; the port is free for "infermesh up"`);
  }
  using mesh = connect(address);
  try {
    const { routerId, version, nodes, uptimeSeconds } = await mesh.stats();
    return ok('router', `${routerId} ${version} at ${address}, ${nodes} nodes, up ${duration(uptimeSeconds)}`);
  } catch {
    const advice = `end what listens there, or choose another port with --listen and --router`;
    return warn('router', `${address} is taken by something that is no infermesh router, or one with TLS`, { advice });
  }
}

export async function redisFinding(): Promise<Finding> {
  const address = '127.0.0.1:6379';
  const { host, port } = split(address);
  const answer = await tcpAsk(host, port, 'PING\r\n');
  if (answer === undefined) {
    return missing('redis', `nothing listens at ${address}`, {
      advice: 'not needed: routers do without it; apt-get install redis-server',
    });
  }
  if (PONG.test(answer)) return ok('redis', `answers at ${address}`);
  const what = LOCKED.test(answer) ? 'asks for a password' : 'does not answer a PING as Redis would';
  return warn('redis', `${address} ${what}`, { advice: 'not needed: routers do without it' });
}

function split(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
