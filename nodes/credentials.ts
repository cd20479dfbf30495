/** What a node shows the routers: its certificate, its own key with or without a join token, or the token they share. */
import type { KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Fault } from '../proto/contract/faults.ts';
import { isToken, readToken } from '../proto/transport/join-token.ts';
import type { Identity } from '../proto/transport/pem.ts';
import { readIdentity, readPem } from '../proto/transport/pem.ts';
import { defaultKeyFile, hasNodeKey, readOrCreateNodeKey } from './node-key.ts';
import type { NodeSettings } from './settings.ts';

export interface Credentials {
  /** PEM of the authority that signed the routers' certificates; undefined: plaintext. */
  readonly tls: Buffer | undefined;
  /** The node's certificate. */
  readonly identity?: Identity | undefined;
  /** The token that the routers share with their nodes, or one for a single join. */
  readonly token?: string | undefined;
  /** The node's own. */
  readonly key?: KeyObject | undefined;
}

/**
 * A node that has joined by a token once goes on by its key, for which the file is enough.
 * @throws Fault INVALID_REQUEST for files that can't be used, and when there is nothing to show
 */
export function credentialsOf(id: string, settings: NodeSettings): Credentials {
  const { tokenFile, joinToken, keyFile = defaultKeyFile(id), tlsCa, tlsCert, tlsKey } = settings;
  const tls = tlsCa ? readPem(tlsCa, '--tls-ca') : undefined;
  const identity = readIdentity(tlsCert, tlsKey);
  if (identity && !tls) throw new Fault('INVALID_REQUEST', '--tls-cert needs --tls-ca');
  if (joinToken !== undefined && !isToken(joinToken)) {
    throw new Fault(
      'INVALID_REQUEST',
      '--join-token must be 16 to 512 printable characters, as infermesh token create prints it',
    );
  }
  const key = joinToken !== undefined || hasNodeKey(keyFile) ? readOrCreateNodeKey(keyFile) : undefined;
  const needless = identity !== undefined || key !== undefined;
  const token = joinToken ?? (needless && !existsSync(tokenFile) ? undefined : readToken(tokenFile));
  return { tls, identity, token, key };
}
