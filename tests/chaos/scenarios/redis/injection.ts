/** Clients that would like to write Redis' commands. */
import { Code } from '../../../../proto/contract/faults.ts';
import { CacheServiceService, GetEvidenceRequest, PutEvidenceRequest } from '../../../../proto/gen/infermesh/v1/cache.ts';
import { Role } from '../../../../proto/gen/infermesh/v1/types.ts';
import { CHAT, chatBytes, RawConnection } from '../../../mesh/wire.ts';
import type { Scenario } from '../../scenario.ts';
import type { Broken, RedisFault } from '../../support/redis-load.ts';
import { redisScenario } from '../../support/redis-load.ts';

const GUARD = 'somebody else put this here';
const HOSTILE = [
  '\r\nFLUSHALL\r\n',
  '*1\r\n$8\r\nFLUSHALL\r\n',
  '\n"; redis.call("flushall") --',
  'im1:*',
  'im1:m:0',
  '*?[a-z]\\',
  '{slot}\u0000\ud83e\udd93',
  "' 0 0\r\nCONFIG SET dir /\r\n",
];
const DANGEROUS = ['flushall', 'flushdb', 'config', 'shutdown', 'replicaof', 'slaveof', 'script', 'function', 'debug'];
/** Of the routers' own names. */
const OURS = /^im1:[a-z]:[\w:-]+$/;

/** What is in order, and what is refused: as wrong, as not there, as what no model of the mesh can do. */
const EXPECTED_CODES = new Set<number>([Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION]);

class Intruder {
  calls = 0;
  otherEnds = 0;

  async go({ fleet }: Broken): Promise<void> {
    for (const address of fleet.routers) {
      await using wire = new RawConnection(address);
      for (const word of HOSTILE) for (const [path, message] of callsWith(word)) await this.#call(wire, path, message);
    }
  }

  async #call(wire: RawConnection, path: string, message: Uint8Array): Promise<void> {
    const { code } = await wire.call(path, message);
    this.calls++;
    if (!EXPECTED_CODES.has(code)) this.otherEnds++;
  }
}

function callsWith(word: string): [path: string, message: Uint8Array][] {
  const chat = { messages: [{ role: Role.ROLE_USER, text: word }], sampling: { temperature: 0 }, maxTokens: 20 };
  const evidence = { chunks: [{ text: word, source: word, score: 1, metadata: { [word]: word } }] };
  const { putEvidence, getEvidence } = CacheServiceService;
  return [
    [CHAT, chatBytes({ ...chat, stop: [word] })],
    [CHAT, chatBytes({ ...chat, sessionId: word })],
    [CHAT, chatBytes({ ...chat, idempotencyKey: word })],
    [CHAT, chatBytes({ ...chat, labels: { [word]: word } })],
    [CHAT, chatBytes({ ...chat, target: { $case: 'model', value: word } })],
    [CHAT, chatBytes({ ...chat, jsonSchema: JSON.stringify({ title: word }) })],
    [CHAT, chatBytes({ ...chat, zones: [word] })],
    [putEvidence.path, PutEvidenceRequest.encode(PutEvidenceRequest.fromPartial({ key: word, evidence })).finish()],
    [getEvidence.path, GetEvidenceRequest.encode(GetEvidenceRequest.fromPartial({ keys: [word] })).finish()],
  ];
}

function injection(): RedisFault {
  const intruder = new Intruder();
  return {
    name: 'redis-key-injection',
    does: "Clients send Redis' commands, patterns and the routers' own names in every field that takes a text.",
    changes: 0,
    targets: [
      { figure: 'hostile_calls_that_ended_otherwise', most: 0, unit: 'calls' },
      { figure: 'names_of_another_form', most: 0, unit: 'names' },
      { figure: 'dangerous_commands', most: 0, unit: 'commands' },
      { figure: 'guard_is_there', least: 1, unit: '' },
    ],
    async prepare({ operator }) {
      await operator.set(GUARD, GUARD);
    },
    harm: (broken) => intruder.go(broken),
    async found({ operator }) {
      const called = await operator.info('commandstats');
      const names = (await operator.keys('*')).filter((name) => name !== GUARD);
      return {
        hostile_calls: intruder.calls,
        hostile_calls_that_ended_otherwise: intruder.otherEnds,
        names: names.length,
        names_of_another_form: names.filter((name) => !OURS.test(name)).length,
        dangerous_commands: DANGEROUS.filter((command) => called.includes(`cmdstat_${command}:`)).length,
        guard_is_there: (await operator.get(GUARD)) === GUARD ? 1 : 0,
      };
    },
  };
}

export const REDIS_INJECTION: readonly Scenario[] = [redisScenario(injection())];
