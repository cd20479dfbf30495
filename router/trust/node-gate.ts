/**
 * Who may join as which node. What a stream shows when it opens is looked at before anything it says is read; whether
 * that fits the id it then names is told by `check`.
 *
 *   certificate of a node   the id must be one of its names; nothing else is looked at
 *   a key of its own        the id must belong to the key, or come with a join token that has not been used
 *   the shared token        any id that belongs to no key
 */
import { Fault } from '../../proto/contract/faults.ts';
import type { Hello } from '../../proto/gen/infermesh/v1/link.ts';
import type { CallContext } from '../../proto/transport/handlers.ts';
import { digestOfSecret, newSecret, sameToken, tokenOf } from '../../proto/transport/join-token.ts';
import { NODE_KEY, newChallenge, provesKey } from '../../proto/transport/node-proof.ts';
import type { Clock } from '../clock.ts';
import type { TrustFolder } from './trust-folder.ts';

/** Of the URI name of a node's certificate, before its id. */
const NODE_NAME = 'infermesh://node/';
/** So that whoever finds one knows what it is. */
const TOKEN_PREFIX = 'imj_';
export const JOIN_TOKEN_TTL_MS = { low: 1000, high: 24 * 3_600_000, usual: 10 * 60_000 };

export interface Admission {
  /** To be signed in hello; undefined where nothing is. */
  readonly challenge?: string;
  /** Lets the node in by what it says of itself. @throws Fault UNAUTHENTICATED or FORBIDDEN */
  check(hello: Pick<Hello, 'nodeId' | 'signature'>): void;
}

export interface NodeGateParts {
  /** What the router shares with its nodes. */
  readonly token: string;
  readonly folder: TrustFolder;
  readonly clock: Pick<Clock, 'wall'>;
}

export class NodeGate {
  readonly #parts: NodeGateParts;

  constructor(parts: NodeGateParts) {
    this.#parts = parts;
  }

  /**
   * A token for one join.
   * @param node the only id that it lets in; any when it is undefined
   * @throws Fault INVALID_REQUEST when it can't be kept
   */
  newToken(node: string | undefined, ttlMs = JOIN_TOKEN_TTL_MS.usual): { readonly token: string; readonly expiresAt: number } {
    const { folder, clock } = this.#parts;
    const token = newSecret(TOKEN_PREFIX);
    const expiresAt = clock.wall() + ttlMs;
    folder.add(digestOfSecret(token), { node, expiresAt }, clock.wall());
    return { token, expiresAt };
  }

  /** @throws Fault UNAUTHENTICATED for who shows nothing that could let it in */
  open(context: Pick<CallContext, 'metadata' | 'certificateNames'>): Admission {
    const names = context.certificateNames().filter((name) => name.startsWith(NODE_NAME));
    if (names.length > 0) return { check: ({ nodeId }) => checkName(names, nodeId) };
    const authorization = context.metadata('authorization');
    const token = tokenOf(authorization) ?? '';
    const shared = sameToken(token, this.#parts.token);
    const publicKey = context.metadata(NODE_KEY);
    if (publicKey !== undefined) return this.#byKey(publicKey, token, shared);
    if (shared) return { check: ({ nodeId }) => this.#checkFree(nodeId) };
    const what = authorization === undefined ? 'the join token is missing' : 'the join token is wrong';
    throw new Fault('UNAUTHENTICATED', what);
  }

  #byKey(publicKey: string, token: string, shared: boolean): Admission {
    const challenge = newChallenge();
    const check: Admission['check'] = ({ nodeId, signature }) => {
      if (!signature || !provesKey(publicKey, signature, { challenge, nodeId, token })) {
        throw new Fault('UNAUTHENTICATED', "the signature does not prove the node's key");
      }
      const key = digestOfSecret(publicKey);
      const owner = this.#parts.folder.keyOf(nodeId);
      if (owner === undefined) {
        if (!shared) this.#redeem(token, nodeId, key);
      } else if (!sameToken(owner, key)) throw takenBy('another key');
    };
    return { challenge, check };
  }

  #redeem(token: string, nodeId: string, key: string): void {
    const { folder, clock } = this.#parts;
    const digest = digestOfSecret(token);
    const found = token === '' ? undefined : folder.token(digest);
    if (token === '') throw new Fault('UNAUTHENTICATED', 'the join token is missing: the node id belongs to no key yet');
    if (!found) throw new Fault('UNAUTHENTICATED', 'the join token is not known here: it was used, or is of another router');
    if (found.expiresAt <= clock.wall()) throw new Fault('UNAUTHENTICATED', 'the join token has expired');
    if (found.node !== undefined && found.node !== nodeId) {
      throw new Fault('FORBIDDEN', 'the join token is for another node id');
    }
    if (!folder.take(digest)) throw new Fault('UNAUTHENTICATED', 'the join token was used by another node meanwhile');
    if (!folder.bind(nodeId, key)) throw takenBy('another key');
  }

  #checkFree(nodeId: string): void {
    if (this.#parts.folder.keyOf(nodeId) !== undefined) throw takenBy('a key, which the node did not show');
  }
}

function checkName(names: readonly string[], nodeId: string): void {
  if (!names.includes(`${NODE_NAME}${nodeId}`)) {
    throw new Fault(
      'FORBIDDEN',
      `the certificate is of another node: it lacks the name ${NODE_NAME}ID with the id that the node has`,
    );
  }
}

function takenBy(whom: string): Fault {
  return new Fault('FORBIDDEN', `the node id belongs to ${whom}`);
}
