/** How clients and nodes dial: addresses, TLS, keepalive and per-call options. */
import * as grpc from '@grpc/grpc-js';
import { Fault } from '../contract/faults.ts';
import { isLoopback } from '../contract/settings.ts';
import { bearer } from './join-token.ts';
import type { Identity } from './pem.ts';

export interface DialOptions {
  /** PEM of the authority that signed the server's certificate; true trusts the system's; absent: plaintext. */
  readonly tls?: Buffer | true;
  /** What the server is shown when it asks who dials; needs `tls`. */
  readonly identity?: Identity;
  /** Sent with every call that brings no authorization of its own. */
  readonly apiKey?: string;
  /** Sends the key without TLS to an address that is not loopback. */
  readonly allowPlaintext?: boolean;
  /** How often to ping; absent: 10,000. */
  readonly keepaliveMs?: number;
  /** How long to wait for the answer to a ping before the connection is given up; absent: 10,000. */
  readonly keepaliveTimeoutMs?: number;
}

/** @param address HOST:PORT */
export function credentialsFor({ tls, identity }: DialOptions): grpc.ChannelCredentials {
  if (!tls) return grpc.credentials.createInsecure();
  return grpc.credentials.createSsl(tls === true ? null : tls, identity?.key ?? null, identity?.cert ?? null);
}

/**
 * A key that anybody on the way could read is not sent unless that was asked for.
 * @param address HOST:PORT
 * @throws Fault INVALID_REQUEST
 */
export function checkDial(address: string, { tls, identity, apiKey, allowPlaintext }: DialOptions): void {
  if (identity && !tls) throw new Fault('INVALID_REQUEST', 'a client certificate needs TLS: give tls as well');
  if (apiKey === undefined || tls || allowPlaintext || isLoopback(address)) return;
  const what = `an API key is not sent to ${address} without TLS, as it is not loopback`;
  throw new Fault('INVALID_REQUEST', `${what}: give tls, or allowPlaintext on a network you trust`);
}

/** grpc-js takes call credentials over TLS only, and a key is wanted on loopback as well. */
function sending(apiKey: string): grpc.Interceptor {
  const authorization = bearer(apiKey);
  return (options, next) =>
    new grpc.InterceptingCall(next(options), {
      start: (metadata, listener, start) => {
        if (metadata.get('authorization').length === 0) metadata.set('authorization', authorization);
        start(metadata, listener);
      },
    });
}

export function channelOptions({ keepaliveMs = 10_000, keepaliveTimeoutMs = 10_000, apiKey }: DialOptions): grpc.ClientOptions {
  return {
    ...(apiKey === undefined ? {} : { interceptors: [sending(apiKey)] }),
    'grpc.keepalive_time_ms': keepaliveMs,
    'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    'grpc.keepalive_permit_without_calls': 1,
    // Retrying is decided in one place, which grpc-js is not.
    'grpc.enable_retries': 0,
    'grpc.max_receive_message_length': 8 * 1024 * 1024,
    'grpc-node.flow_control_window': 1024 * 1024,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
  };
}
