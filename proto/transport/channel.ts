/** How clients and nodes dial: addresses, TLS, keepalive and per-call options. */
import * as grpc from '@grpc/grpc-js';

export interface DialOptions {
  /** PEM of the authority that signed the server's certificate; true trusts the system's; absent: plaintext. */
  readonly tls?: Buffer | true;
  /** How often to ping; absent: 10,000. */
  readonly keepaliveMs?: number;
  /** How long to wait for the answer to a ping before the connection is given up; absent: 10,000. */
  readonly keepaliveTimeoutMs?: number;
}

/** @param address HOST:PORT */
export function credentialsFor({ tls }: DialOptions): grpc.ChannelCredentials {
  if (!tls) return grpc.credentials.createInsecure();
  return grpc.credentials.createSsl(tls === true ? null : tls);
}

export function channelOptions({ keepaliveMs = 10_000, keepaliveTimeoutMs = 10_000 }: DialOptions): grpc.ClientOptions {
  return {
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
