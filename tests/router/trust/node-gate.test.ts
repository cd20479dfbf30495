import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bearer } from '../../../proto/transport/join-token.ts';
import { NODE_KEY, newNodeKey, publicHalf, signProof } from '../../../proto/transport/node-proof.ts';
import type { Admission } from '../../../router/trust/node-gate.ts';
import { NodeGate } from '../../../router/trust/node-gate.ts';
import { TrustFolder } from '../../../router/trust/trust-folder.ts';
import { FakeClock } from '../../support/clock.ts';

const SHARED = 'the-token-that-all-nodes-share';
const MINUTE = 60_000;

let folder: string;
let clock: FakeClock;
let gate: NodeGate;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'infermesh-trust-'));
  clock = new FakeClock();
  gate = newGate();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Another process on the same folder. */
const newGate = () => new NodeGate({ token: SHARED, folder: new TrustFolder(folder), clock });

interface Shown {
  readonly token?: string;
  readonly key?: string;
  readonly names?: readonly string[];
}

function open({ token, key, names = [] }: Shown, at = gate): Admission {
  const metadata: Record<string, string | undefined> = {
    authorization: token === undefined ? undefined : bearer(token),
    [NODE_KEY]: key,
  };
  return at.open({ metadata: (name) => metadata[name], certificateNames: () => names });
}

class Node {
  readonly key = newNodeKey();
  readonly public = publicHalf(this.key);

  /** As a node joins: opens, signs the challenge, says hello. */
  join(nodeId: string, token?: string, at = gate): void {
    const admission = open({ key: this.public, ...(token === undefined ? {} : { token }) }, at);
    admission.check({ nodeId, signature: this.sign(admission, nodeId, token) });
  }

  sign({ challenge = '' }: Admission, nodeId: string, token = ''): Buffer {
    return signProof(this.key, { challenge, nodeId, token });
  }
}

const refused = (reason: string, message: RegExp) => expect.objectContaining({ reason, message: expect.stringMatching(message) });

describe('a join token', () => {
  it('lets a node in once; from then on its key does', () => {
    const { token, expiresAt } = gate.newToken(undefined);
    expect(expiresAt - clock.wall()).toBe(10 * MINUTE);
    const node = new Node();
    node.join('gpu-1', token);
    node.join('gpu-1');
    // A service that is started with the same flags again still shows it.
    node.join('gpu-1', token);
    clock.advance(24 * 60 * MINUTE);
    node.join('gpu-1', undefined, newGate());
  });

  it('that was used lets nobody else in, nor the same node under another id', () => {
    const { token } = gate.newToken(undefined);
    const node = new Node();
    node.join('gpu-1', token);
    const used = refused('UNAUTHENTICATED', /not known here: it was used/);
    expect(() => new Node().join('gpu-2', token)).toThrow(used);
    expect(() => node.join('gpu-2', token)).toThrow(used);
  });

  it('lets one of two in that come by two routers at once', () => {
    const { token } = gate.newToken(undefined);
    const other = newGate();
    const [one, two] = [new Node(), new Node()];
    const first = open({ key: one.public, token });
    const second = open({ key: two.public, token }, other);
    first.check({ nodeId: 'a', signature: one.sign(first, 'a', token) });
    expect(() => second.check({ nodeId: 'b', signature: two.sign(second, 'b', token) })).toThrow(/was used/);
  });

  it('is good for 10 minutes', () => {
    const { token } = gate.newToken(undefined);
    clock.advance(10 * MINUTE - 1);
    const late = gate.newToken(undefined);
    new Node().join('gpu-1', token);
    clock.advance(10 * MINUTE);
    expect(() => new Node().join('gpu-2', late.token)).toThrow(refused('UNAUTHENTICATED', /has expired/));
  });

  it('for one node lets in no other, and is still good for that one', () => {
    const { token } = gate.newToken('gpu-1');
    expect(() => new Node().join('gpu-2', token)).toThrow(refused('FORBIDDEN', /is for another node id/));
    new Node().join('gpu-1', token);
  });

  it('that was made up lets nobody in', () => {
    expect(() => new Node().join('gpu-1', 'imj_of-my-own-making')).toThrow(refused('UNAUTHENTICATED', /not known here/));
    expect(() => new Node().join('gpu-1')).toThrow(refused('UNAUTHENTICATED', /missing/));
    expect(() => open({ token: 'imj_of-my-own-making' })).toThrow(refused('UNAUTHENTICATED', /is wrong/));
    expect(() => open({})).toThrow(refused('UNAUTHENTICATED', /is missing/));
  });

  it('without a key lets nobody in', () => {
    const { token } = gate.newToken(undefined);
    expect(() => open({ token })).toThrow(refused('UNAUTHENTICATED', /is wrong/));
    new Node().join('gpu-1', token);
  });

  it('is kept as a hash, for the owner alone, and is gone once it is used or has long expired', () => {
    const { token } = gate.newToken(undefined);
    const [name = ''] = readdirSync(join(folder, 'tokens'));
    const text = readFileSync(join(folder, 'tokens', name), 'utf8');
    expect(`${name}${text}`).not.toContain(token.slice(4, 20));
    expect(statSync(join(folder, 'tokens', name)).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'tokens')).mode & 0o777).toBe(0o700);
    clock.advance(10 * MINUTE);
    new Node().join('gpu-1', gate.newToken(undefined).token);
    expect(readdirSync(join(folder, 'tokens'))).toEqual([]);
    expect(statSync(join(folder, 'nodes', 'gpu-1.json')).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, 'nodes'))).toEqual(['gpu-1.json']);
  });
});

describe("a node's signature", () => {
  it('of another key does not let it in, and uses up no token', () => {
    const { token } = gate.newToken(undefined);
    const [node, thief] = [new Node(), new Node()];
    const admission = open({ key: node.public, token });
    const wrong = refused('UNAUTHENTICATED', /signature does not prove/);
    expect(() => admission.check({ nodeId: 'gpu-1', signature: thief.sign(admission, 'gpu-1', token) })).toThrow(wrong);
    expect(() => admission.check({ nodeId: 'gpu-1' })).toThrow(wrong);
    expect(() => admission.check({ nodeId: 'gpu-1', signature: Buffer.alloc(64) })).toThrow(wrong);
    node.join('gpu-1', token);
  });

  it('that was overheard is of no use on another stream', () => {
    const { token } = gate.newToken(undefined);
    const node = new Node();
    const heard = open({ key: node.public, token });
    const signature = node.sign(heard, 'gpu-1', token);
    heard.check({ nodeId: 'gpu-1', signature });
    const again = open({ key: node.public, token });
    expect(again.challenge).not.toBe(heard.challenge);
    expect(() => again.check({ nodeId: 'gpu-1', signature })).toThrow(refused('UNAUTHENTICATED', /signature/));
  });

  it('holds for the id and the token that it was made for', () => {
    const { token } = gate.newToken(undefined);
    const node = new Node();
    const admission = open({ key: node.public, token });
    expect(() => admission.check({ nodeId: 'gpu-2', signature: node.sign(admission, 'gpu-1', token) })).toThrow(/signature/);
    expect(() => admission.check({ nodeId: 'gpu-1', signature: node.sign(admission, 'gpu-1', 'other') })).toThrow(/signature/);
  });

  it.each(['', 'short', 'A'.repeat(43), `${'A'.repeat(42)}!`, 'x'.repeat(10_000)])('of no key is none: %#', (key) => {
    const admission = open({ key, token: SHARED });
    expect(() => admission.check({ nodeId: 'gpu-1', signature: Buffer.alloc(64) })).toThrow(/signature/);
  });
});

describe('a node id', () => {
  it('that belongs to a key is for no other key, with a good token or the shared one', () => {
    new Node().join('gpu-1', gate.newToken(undefined).token);
    const taken = refused('FORBIDDEN', /belongs to another key/);
    expect(() => new Node().join('gpu-1', gate.newToken(undefined).token)).toThrow(taken);
    expect(() => new Node().join('gpu-1', SHARED)).toThrow(taken);
    expect(() => open({ token: SHARED }).check({ nodeId: 'gpu-1' })).toThrow(refused('FORBIDDEN', /belongs to a key/));
  });

  it('whose file is damaged is for nobody, until it is removed', () => {
    const node = new Node();
    node.join('gpu-1', gate.newToken(undefined).token);
    const path = join(folder, 'nodes', 'gpu-1.json');
    writeFileSync(path, '{"key":');
    expect(() => node.join('gpu-1')).toThrow(refused('FORBIDDEN', /belongs to another key/));
    expect(() => open({ token: SHARED }).check({ nodeId: 'gpu-1' })).toThrow(refused('FORBIDDEN', /belongs to a key/));
    rmSync(path);
    node.join('gpu-1', gate.newToken(undefined).token);
  });

  it('that belongs to nobody is for whoever has the shared token, and stays so', () => {
    open({ token: SHARED }).check({ nodeId: 'here' });
    new Node().join('here', SHARED);
    open({ token: SHARED }).check({ nodeId: 'here' });
  });
});

describe("a node's certificate", () => {
  const names = ['infermesh://node/gpu-1', 'gpu-1.example'];

  it('lets the node in without a token', () => {
    const admission = open({ names });
    expect(admission.challenge).toBeUndefined();
    admission.check({ nodeId: 'gpu-1' });
  });

  it('lets in no other id, whatever else is shown', () => {
    const other = refused('FORBIDDEN', /of another node: it lacks the name infermesh:\/\/node\/ID/);
    expect(() => open({ names }).check({ nodeId: 'gpu-2' })).toThrow(other);
    expect(() => open({ names, token: SHARED }).check({ nodeId: 'gpu-2' })).toThrow(other);
    expect(() => open({ names }).check({ nodeId: 'gpu-1.example' })).toThrow(other);
  });

  it('of a client or a host is none of a node', () => {
    for (const name of ['infermesh://client/gpu-1', 'gpu-1']) {
      expect(() => open({ names: [name] })).toThrow(refused('UNAUTHENTICATED', /missing/));
    }
    open({ names: ['infermesh://client/gpu-1'], token: SHARED }).check({ nodeId: 'gpu-1' });
  });
});
