/**
 * The only place that reaches into grpc-js. Each function says what it needs that the public API lacks, and what
 * happens when a release of grpc-js moves it: `streamOf` gives undefined (callers write through grpc-js instead),
 * `hardenServer` and `askForCertificates` throw at start, where a test sees it.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Server, ServerCredentials } from '@grpc/grpc-js';
import { parseTimeout } from './deadline.ts';

export interface Hardening {
  /** Resets that one connection may send at once before it is closed. */
  readonly resetBurst: number;
  /** And per second after that. */
  readonly resetRate: number;
}

interface ServerInside {
  commonServerOptions: { streamResetBurst?: number; streamResetRate?: number };
  createHttp2Server(credentials: ServerCredentials): Http2Server;
}

/**
 * Raises the limit of stream resets and bounds grpc-timeout before grpc-js reads it.
 *
 * Node closes a connection, with every stream on it, after 1,000 resets at once or 33/s; each cancel and each expired
 * deadline of a client is one. And grpc-js multiplies the timeout in 32 bits, so that 30 days end at once, and takes
 * "-5S" for five seconds.
 */
export function hardenServer(server: Server, { resetBurst, resetRate }: Hardening): void {
  const inside = server as unknown as ServerInside;
  if (!inside.commonServerOptions || typeof inside.createHttp2Server !== 'function') {
    throw new Error(
      'this release of @grpc/grpc-js builds its HTTP/2 server differently; adapt proto/transport/grpc-internals.ts',
    );
  }
  inside.commonServerOptions.streamResetBurst = resetBurst;
  inside.commonServerOptions.streamResetRate = resetRate;
  const create = inside.createHttp2Server.bind(server);
  inside.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    http2Server.prependListener('stream', (_stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boundTimeout(headers));
    return http2Server;
  };
}

interface CredentialsInside {
  _getConstructorOptions(): { requestCert?: boolean; rejectUnauthorized?: boolean } | null;
}

/**
 * Lets in who has no certificate, or one of a strange authority; grpc-js gives neither of them an identity. Its API has
 * all or nothing: every client shows a good certificate, or none is asked for one.
 */
export function askForCertificates(credentials: ServerCredentials): void {
  const options = (credentials as unknown as Partial<CredentialsInside>)._getConstructorOptions?.();
  if (!options?.requestCert) {
    throw new Error('this release of @grpc/grpc-js keeps its TLS options elsewhere; adapt proto/transport/grpc-internals.ts');
  }
  options.rejectUnauthorized = false;
}

/** Metadata that a handler finds in place of a timeout that can't be read. */
export const UNREADABLE_TIMEOUT = 'infermesh-unreadable-timeout';

function boundTimeout(headers: IncomingHttpHeaders): void {
  const header = headers['grpc-timeout'];
  if (typeof header !== 'string') return;
  const ms = parseTimeout(header);
  if (ms !== undefined) {
    headers['grpc-timeout'] = `${ms}m`;
    return;
  }
  // grpc-js would blame itself with INTERNAL; handlers know better (handlers.ts).
  delete headers['grpc-timeout'];
  headers[UNREADABLE_TIMEOUT] = 'yes';
}

interface CallInside {
  stream?: ServerHttp2Stream;
  nextCall?: CallInside;
}

/**
 * The HTTP/2 stream beneath a call, past any interceptors. Writing framed messages straight to it costs a third of
 * grpc-js' path for each (docs/benchmarks.md).
 */
export function streamOf(call: object): ServerHttp2Stream | undefined {
  let inside = (call as unknown as { call?: CallInside }).call;
  while (inside?.nextCall) inside = inside.nextCall;
  return typeof inside?.stream?.write === 'function' ? inside.stream : undefined;
}
